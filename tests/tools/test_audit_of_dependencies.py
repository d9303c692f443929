import json
import os
import threading
import zipfile
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
    """Provide a database of vulnerabilities that answers as told."""
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


def test_an_answer_in_pages_is_read_to_its_end(
    lock: Path, database: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(asked: dict[str, Any]) -> bytes:
        results = []
        for query in asked["queries"]:
            page = int(query.get("page_token", 0))
            more = {"next_page_token": str(page + 1)} if page < 2 else {}
            known = {"vulns": [{"id": f"PYSEC-{page}"}]} if query["package"]["name"] == "bad" else {}
            results.append(known | more)
        return json.dumps({"results": results}).encode()

    database(answer)
    assert audit.main(["--lock", str(lock)]) == audit.VULNERABLE
    assert "bad 2.0: PYSEC-0, PYSEC-1, PYSEC-2" in capsys.readouterr().err


def test_another_address_is_asked_when_one_is_named(
    lock: Path, database: Callable[[Answer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    database(answering(bad=["PYSEC-1"]))
    mirror = os.environ[audit.SERVICE_VARIABLE]
    monkeypatch.setenv(audit.SERVICE_VARIABLE, "http://127.0.0.1:9/")
    assert audit.main(["--lock", str(lock), "--service", mirror]) == audit.VULNERABLE


def advisory(name: str, package: str, **more: Any) -> dict[str, Any]:
    ecosystem = more.pop("ecosystem", "PyPI")
    return {"id": name, "affected": [{"package": {"name": package, "ecosystem": ecosystem}, **more}]}


def between(*events: tuple[str, str], kind: str = "ECOSYSTEM") -> list[dict[str, Any]]:
    return [{"type": kind, "events": [{event: version} for event, version in events]}]


ADVISORIES = [
    advisory("HIT-listed", "Bad", versions=["1.9", "2.0"]),
    advisory("HIT-range", "bad", ranges=between(("introduced", "0"), ("fixed", "2.0.1"))),
    advisory("HIT-again", "bad", ranges=between(("introduced", "0"), ("fixed", "1.0"), ("introduced", "2.0"))),
    advisory("HIT-last", "bad", ranges=between(("last_affected", "2.0"), ("introduced", "1.10"))),
    advisory("MISS-fixed", "bad", ranges=between(("introduced", "0"), ("fixed", "2.0"))),
    advisory("MISS-later", "bad", ranges=between(("introduced", "2.0.post1"))),
    advisory("MISS-commits", "bad", ranges=between(("introduced", "0"), kind="GIT")),
    advisory("MISS-elsewhere", "bad", ecosystem="npm", versions=["2.0"]),
    advisory("MISS-other", "other", versions=["2.0"]),
    {**advisory("MISS-withdrawn", "bad", versions=["2.0"]), "withdrawn": "2026-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("form", ["zip", "directory"])
def test_a_copy_of_the_database_does_without_a_network(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", None)
    export = tmp_path / "export"
    if form == "zip":
        with zipfile.ZipFile(export, "w") as archive:
            for one in ADVISORIES:
                archive.writestr(f"{one['id']}.json", json.dumps(one))
    else:
        export.mkdir()
        for one in ADVISORIES:
            (export / f"{one['id']}.json").write_text(json.dumps(one))
    assert audit.main(["--lock", str(lock), "--export", str(export)]) == audit.VULNERABLE
    assert capsys.readouterr().err.splitlines() == ["bad 2.0: HIT-again, HIT-last, HIT-listed, HIT-range"]


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_copy_that_is_none_is_no_clean_bill(
    lock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    export = tmp_path / "export.zip"
    if content is not None:
        export.write_bytes(content)
    assert audit.main(["--lock", str(lock), "--export", str(export)]) == audit.UNKNOWN
    assert "DEPENDENCIES NOT AUDITED" in capsys.readouterr().err
