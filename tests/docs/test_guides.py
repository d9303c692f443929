"""The guides cannot rot: their Python runs against a real server and prints what they say, their links lead somewhere.

FINDINGS A4: guides of the API and of authentication exist.
"""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from vectrograph import running

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
GUIDES = {"API.md": 4, "AUTH.md": 5, "grid.md": 4, "cdna.md": 3, "events.md": 10}


@pytest.mark.parametrize(("guide", "least"), GUIDES.items(), ids=list(GUIDES))
def test_a_guide_prints_what_it_says(guide: str, least: int, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = BLOCK.findall((DOCS / guide).read_text(encoding="utf-8"))
    assert len(blocks) >= least
    names: dict[str, Any] = {"__name__": guide}
    with running() as server:
        for code in blocks:
            placed = code.replace("http://localhost:8000", server.http_url)
            placed = placed.replace("localhost:8081", server.grpc_address)
            exec(compile(placed, guide, "exec"), names)  # noqa: S102
            promised = re.findall(r"^# > (.*)$", code, re.MULTILINE)
            assert capsys.readouterr().out.splitlines() == promised


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()] == []


def test_the_picture_of_a_grid_is_what_the_example_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = DOCS.parent / "packages" / "neurograph-python" / "examples" / "grid_picture.py"
    with running() as server:
        monkeypatch.setenv("NEUROGRAPH_BASE_URL", server.http_url)
        monkeypatch.setattr("sys.argv", [str(example), str(tmp_path / "grid.svg")])
        runpy.run_path(str(example), run_name="__main__")
        with server.neurograph() as client:
            assert client.grid.status().grids_count == 0
            assert client.tokens.list(limit=1).total == 0
    assert (tmp_path / "grid.svg").read_text(encoding="utf-8") == (DOCS / "grid.svg").read_text(encoding="utf-8")
