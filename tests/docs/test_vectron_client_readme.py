"""The Python of the Vectron client's README runs as it stands, against a real server."""

import re
from pathlib import Path
from typing import Any

import pytest

from vectrograph import running

README = Path(__file__).resolve().parents[2] / "packages" / "vectron-client" / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_block_runs_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert len(blocks) >= 8
    with running() as server:
        for code in blocks:
            placed = code.replace("localhost:8081", server.grpc_address).replace("YOUR_API_KEY", server.api_key)
            names: dict[str, Any] = {"__name__": "readme"}
            exec(compile(placed, README.name, "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out
    assert "failed" not in printed.lower()
    assert "error occurred" not in printed
    assert "1 ['alien']\n" in printed
    assert "created a {'title': 'hello'}\ndeleted\n" in printed
    assert "Point not found, as expected." in printed
