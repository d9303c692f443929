# Generated from async_client_setup.py by tools/unasync.py; do not edit.
"""Set-up of the tests of the synchronous client: a scripted server, and clients that talk to it."""

from collections.abc import Iterator

import pytest
from scripted_server import Reply, ScriptedServer, token_body

from neurograph import NeuroGraphClient

TOKEN = "/api/v1/tokens/7"
TOKENS = "/api/v1/tokens"
QUERY = "/api/v1/tokens/query"


def scripted() -> Iterator[ScriptedServer]:
    """Yield a server that has token 7."""
    with ScriptedServer() as server:
        server.on("GET", TOKEN, Reply(body=token_body()))
        yield server


def noted_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pause between attempts, noted instead of slept."""
    noted: list[float] = []

    def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr("neurograph._execution.executor.sleep", note)
    return noted


def with_key(server: ScriptedServer, timeout: float | None = 10.0, max_retries: int = 2) -> NeuroGraphClient:
    """Return a client with an API key."""
    return NeuroGraphClient(server.url, api_key="ng_live_key", timeout=timeout, max_retries=max_retries)


def with_password(server: ScriptedServer, timeout: float | None = 10.0) -> NeuroGraphClient:
    """Return a client with a password."""
    return NeuroGraphClient(server.url, username="developer", password="pass-word-123", timeout=timeout)


def error_reply(status: int, code: str = "SOME_CODE", **headers: str) -> Reply:
    """Return an error as this API sends it."""
    body = {"success": False, "error": {"code": code, "message": "what happened", "details": {"fact": 1}}}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
