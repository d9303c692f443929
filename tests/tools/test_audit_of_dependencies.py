import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import audit

LOCK = "good==1.0 \\\n    --hash=sha256:00\nbad==2.0 ; python_version > '3'\n    # via good\n"
Answer = Callable[[dict[str, Any]], bytes]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], None]]:
    """A database of vulnerabilities that answers as told."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer(asked))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(audit.SERVICE_VARIABLE, f"http://127.0.0.1:{server.server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answering(**advisories: list[str]) -> Answer:
    def answer(asked: dict[str, Any]) -> bytes:
        names = [query["package"]["name"] for query in asked["queries"]]
        results = [{"vulns": [{"id": one} for one in advisories[name]]} if name in advisories else {} for name in names]
        return json.dumps({"results": results}).encode()

    return answer


def test_a_known_vulnerability_fails_and_is_named(
    lock: Path, database: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    database(answering(bad=["PYSEC-1", "GHSA-2"]))
    for options in ([], ["--unless-unreachable"]):
        assert audit.main(["--lock", str(lock), *options]) == audit.VULNERABLE
        assert "bad 2.0: PYSEC-1, GHSA-2" in capsys.readouterr().err


def test_nothing_known_is_said_with_the_number_of_packages(
    lock: Path, database: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    database(answering())
    assert audit.main(["--lock", str(lock)]) == audit.CLEAN
    assert "audited 2 packages" in capsys.readouterr().out


@pytest.mark.parametrize("garbage", [b"<html>", b"{}", b'{"results": []}', b"[]"])
def test_an_answer_of_something_else_is_no_clean_bill(
    lock: Path, database: Callable[[Answer], None], garbage: bytes
) -> None:
    database(lambda _: garbage)
    assert audit.main(["--lock", str(lock)]) == audit.UNKNOWN


def test_without_a_network_it_says_so_loudly_and_never_that_all_is_well(
    lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(audit.SERVICE_VARIABLE, "http://127.0.0.1:9/")
    assert audit.main(["--lock", str(lock)]) == audit.UNKNOWN
    assert audit.main(["--lock", str(lock), "--unless-unreachable"]) == audit.CLEAN
    told = capsys.readouterr()
    assert told.err.count("DEPENDENCIES NOT AUDITED") == 2
    assert "audited" not in told.out


def test_the_whole_lock_is_asked_about() -> None:
    packages = audit.pinned(audit.LOCK.read_text(encoding="utf-8"))
    assert len(packages) > 100
    assert {"starlette", "grpcio", "pyjwt", "limits"} <= {name for name, _ in packages}
