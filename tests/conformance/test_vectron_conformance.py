"""The conformance script passes against a running server over both wires, and notices a server that misbehaves."""

from typing import Any

import pytest

import vectron_conformance
from vectrograph import running
from vectron_conformance import main, run
from vectron_wire import Refused


def test_the_server_conforms_over_grpc_and_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    with running() as server:
        arguments = ["--email", "dev@neurograph.dev", "--password", "developer123", "--grpc", server.grpc_address]
        for base in (server.vectron_http_url, server.http_url):
            status = main([*arguments, "--http", base])
            printed = capsys.readouterr().out
            assert status == 0, printed
            assert "24 of 24 checks passed" in printed
        assert main(["--grpc", server.grpc_address, "--token", server.api_key]) == 0
        assert main(["--grpc", server.grpc_address, "--token", "ng_live_wrong"]) == 1


class Careless:
    """A server that says yes to everything and remembers nothing."""

    name = "careless"

    def call(self, method: str, fields: dict[str, Any], token: str) -> dict[str, Any]:
        if not token:
            raise Refused("UNAUTHENTICATED", "who are you?")
        return {"success": True, "upserted": 3, "collections": [], "results": [], "feedbackId": ""}


def test_a_careless_server_fails_the_checks() -> None:
    outcomes = run([Careless()], "token", None)
    silent = [
        vectron_conformance.Checks.an_upsert_counts_what_was_sent.__name__.replace("_", " "),
    ]
    assert [outcome.check for outcome in outcomes if outcome.problem is None] == silent
