"""README and examples against the real server: what they show is what happens."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from vectrograph import RunningServer

PACKAGE = Path(__file__).resolve().parents[3] / "packages" / "neurograph-python"
EXAMPLES = sorted((PACKAGE / "examples").glob("*.py"))


def test_the_readme_runs_from_top_to_bottom(
    vectrograph_server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
        placed = code.replace("http://localhost:8000", vectrograph_server.http_url)
        exec(compile(placed, "README.md", "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "hello world: 1.00"
    assert printed[2:] == [
        "10",
        "final {'state': 'new'}",
        "final {}",
        "['bonjour']",
        "1",
        "4 [(3, 'VALIDATION_ERROR')]",
        "created breaking news",
        "deleted",
        "3",
        "404 False",
        "query_vector.1",
        "0",
        "1",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(
    example: Path,
    vectrograph_server: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("NEUROGRAPH_BASE_URL", vectrograph_server.http_url)
    monkeypatch.setattr("sys.argv", [str(example)])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out
    assert any(
        said in printed
        for said in (
            "read a file line by line",
            "10 of 10 tokens found themselves first",
            "created 1000 tokens, 1 item was refused",
            "drawn: grid.svg",
        )
    )


def test_there_are_examples() -> None:
    assert [example.stem for example in EXAMPLES] == ["async_usage", "basic_usage", "bulk_load", "grid_picture"]
