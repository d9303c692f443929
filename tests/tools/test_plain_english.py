"""The check of plain English: summaries of docstrings, and numeric constants that say what they are."""

from pathlib import Path

import pytest

import plain_english


@pytest.mark.parametrize(
    "text",
    [
        "# Seconds between two looks.\nPAUSE = 2\n",
        "PAUSE = 2  # seconds between two looks\n",
        'PAUSE: Final = 2\n"""Seconds between two looks."""\n',
        "# Generated from other.py by tools/unasync.py; do not edit.\nPAUSE = 2\n",
        "NAMES = ('a', 'b')\nTRUE = True\nTOTAL = PAUSE * 2\npause = 2\n",
        "class Limits:\n    PAUSE = 2\n",
    ],
)
def test_a_constant_that_says_what_it_is_passes(text: str) -> None:
    assert list(plain_english.bare_numbers(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "PAUSE = 2\n",
        "_PAUSE: Final = 1 << 20\n",
        "PAUSE: Final = -1.5\n",
        "PAUSE = 2  # noqa: PLR2004\n",
        "# type: ignore\nPAUSE = 2\n",
        "# About another one.\n\nPAUSE = 2\n",
        'PAUSE = 2\nOTHER = "x"\n"""About the other."""\n',
    ],
)
def test_a_number_that_says_nothing_is_found(text: str) -> None:
    ((_, name),) = plain_english.bare_numbers(text)
    assert name.strip("_") == "PAUSE"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('PAUSE = 2\n"""How long to wait."""\n', 2),
        ('class Stream:\n    end: int = 3\n    """Whom it belongs to."""\n', 3),
        ('@property\ndef end(self):\n    """Whether it has ended."""\n', 3),
        ('"""What this is."""\n', 1),
    ],
)
def test_a_relative_clause_is_found_wherever_a_docstring_may_be(text: str, line: int) -> None:
    assert [found for found, _ in plain_english.faults(text)] == [line]


def test_a_string_that_documents_nothing_is_left_alone() -> None:
    assert list(plain_english.faults('print(1)\n"What"\nNAME = "What"\n"""Name of it."""\n')) == []


def test_each_constant_needs_its_own_words() -> None:
    text = "# Seconds.\nFIRST = 1\nSECOND = 2\n"
    assert list(plain_english.bare_numbers(text)) == [(3, "SECOND")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("packages/x/src/x.py", "x.py:2: PAUSE"),
        ("packages/x/tests/test_x.py", ""),
        ("tools/x.py", ""),
    ],
)
def test_sources_of_packages_are_looked_through(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / source
    path.parent.mkdir(parents=True)
    path.write_text('"""A module."""\nPAUSE = 2\n', encoding="utf-8")
    monkeypatch.setattr(plain_english, "ROOT", tmp_path)
    assert plain_english.main() == (1 if said else 0)
    assert said in capsys.readouterr().out


def test_a_summary_that_begins_with_a_relative_clause_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_x.py").write_text('"""What is tested."""\n', encoding="utf-8")
    monkeypatch.setattr(plain_english, "ROOT", tmp_path)
    assert plain_english.main() == 1
    assert "tests/test_x.py:1: What is tested." in capsys.readouterr().out
