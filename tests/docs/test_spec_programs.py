"""The programs that both specifications promise, retyped, run against the real server; only addresses and the key
are filled in.
"""

import runpy
from pathlib import Path

import pytest

from vectrograph import RunningServer

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_promised_program_runs(program: Path, vectrograph_server: RunningServer, tmp_path: Path) -> None:
    text = program.read_text(encoding="utf-8")
    text = text.replace("http://localhost:8000", vectrograph_server.http_url)
    text = text.replace("localhost:8081", vectrograph_server.grpc_address)
    for placeholder in ("ng_your_api_key_here", "ng_your_key_here", "YOUR_API_KEY"):
        text = text.replace(placeholder, vectrograph_server.api_key)
    placed = tmp_path / program.name
    placed.write_text(text, encoding="utf-8")
    runpy.run_path(str(placed))
