"""Output of the torture command."""

import logging
import random
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from torture import __main__ as command
from torture.power_loss import Lost

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """Provide the command silences the log of its process, which is also that of the tests that follow."""
    logger = logging.getLogger("vectrograph")
    before = logger.level
    yield
    logger.setLevel(before)


def parts(monkeypatch: pytest.MonkeyPatch, *, failing: str = "") -> list[tuple[str, int, float]]:
    """Parts that do nothing but note what they were given; one may fail."""
    seen: list[tuple[str, int, float]] = []

    def part(name: str) -> command.Part:
        def run(chance: random.Random, count: int, home: Path) -> str:
            seen.append((name, count, chance.random()))
            (home / "left").touch()
            if name == failing:
                raise Lost("after step 3: a point is missing")
            return f"{count} {name}"

        return run

    replaced: Mapping[str, command.Part] = {name: part(name) for name in command._PARTS}
    monkeypatch.setattr(command, "_PARTS", replaced)
    return seen


def test_the_last_line_sums_it_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    parts(monkeypatch)
    arguments = ["--seed", "5", "--kills", "3", "--outages", "4", "--spoils", "0", "--home", str(tmp_path)]
    assert command.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed 5"
    assert re.fullmatch(r"Nothing was lost: 4 outages, 3 kills\. Seed 5, \d+ s\.", lines[-1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", list(command._PARTS))
def test_a_failure_is_told_with_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, failing: str
) -> None:
    seen = parts(monkeypatch, failing=failing)
    arguments = ["--seed", "5", "--kills", "3", "--outages", "4", "--spoils", "2", "--home", str(tmp_path)]
    assert command.main(arguments) == 1
    told = capsys.readouterr()
    assert "after step 3: a point is missing" in told.err
    found = re.search(r'found is in (\S+)\. Repeat it with: make torture ARGS="(.*)"', told.out)
    assert found is not None
    assert (Path(found[1]) / "left").exists()
    shutil.rmtree(found[1])
    failed = seen[-1]
    seen.clear()
    assert command.main([*found[2].split(), "--home", str(tmp_path)]) == 1
    assert seen == [failed]


def test_somebody_who_waits_is_told_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = iter([0.0, 1.0, 20.0, 21.0, 22.0])
    monkeypatch.setattr("torture.__main__.time.monotonic", lambda: next(moment))
    progress = command.Progress("power failures", 4)
    for done in range(1, 5):
        progress(done)
    assert capsys.readouterr().out == "power failures: 2 of 4, 20 s\npower failures: 4 of 4, 22 s\n"
