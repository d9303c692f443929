"""The examples of the Vectron client run as they stand, against a real server."""

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from vectrograph import RunningServer, running

EXAMPLES = Path(__file__).resolve().parents[2] / "packages" / "vectron-client" / "examples"
#: The last line that each example prints.
LAST = {
    "async_usage": "[90.0, 3.0] is closest to 89, squared distance 5",
    "basic_usage": "Deleted: ",
    "watch_changes": "No more changes: ",
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def test_all_examples_are_known() -> None:
    assert sorted(example.stem for example in EXAMPLES.glob("*.py")) == sorted(LAST)


@pytest.mark.parametrize("example", LAST)
def test_an_example_runs(
    example: str, server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [example, server.grpc_address, server.api_key])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(EXAMPLES / f"{example}.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert (end.value.code, printed.err) == (0, "")
    assert printed.out.splitlines()[-1].startswith(LAST[example])
    if example == "watch_changes":
        assert "The copy has {'b': 'second'}\nWhile nobody watched, c was created\n" in printed.out
