"""Private copies of the clients: written from one source, and found when they are stale."""

import shutil
from pathlib import Path

import pytest

import private_copies

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "packages/wirekit/clients/filters.py"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a root with the public filters of both clients, made of their source; the private packages stay away."""
    monkeypatch.setattr(private_copies, "COPIES", {})
    monkeypatch.setattr(private_copies, "FILES", {SOURCE: private_copies.FILES[SOURCE]})
    files = [SOURCE, "pyproject.toml", *(target for target, _ in private_copies.FILES[SOURCE].values())]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    private_copies.write(tmp_path)
    return tmp_path


def test_each_client_speaks_its_own_words(copy: Path) -> None:
    assert private_copies.check(copy) == []
    one = (copy / "packages/neurograph-python/src/neurograph/filters.py").read_text("utf-8")
    other = (copy / "packages/vectron-client/src/vectron_client/filters.py").read_text("utf-8")
    assert "every token matches, whatever its metadata" in one
    assert "every point matches, whatever its payload" in other
    assert "-> ValidationError:" in one
    assert "-> InvalidArgumentError:" in other
    assert "vectron" not in one + other.replace("vectron_client", "")


def test_a_change_of_the_source_or_of_a_copy_is_found(copy: Path) -> None:
    changed = copy / "packages/neurograph-python/src/neurograph/filters.py"
    changed.write_text(changed.read_text("utf-8") + "\nMORE = 1\n", encoding="utf-8")
    assert len(private_copies.check(copy)) == 1
    source = copy / SOURCE
    source.write_text(source.read_text("utf-8") + "\nMORE = 1\n", encoding="utf-8")
    assert len(private_copies.check(copy)) == 2


def test_a_word_that_the_source_has_no_more_is_an_error(copy: Path) -> None:
    source = copy / SOURCE
    source.write_text(source.read_text("utf-8").replace("delete_where", "remove_where"), encoding="utf-8")
    with pytest.raises(ValueError, match="delete_where"):
        private_copies.copies(copy)
