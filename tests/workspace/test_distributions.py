"""The three distributions agree on their version, carry their licence, and are typed."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = {
    "neurograph-python": ("neurograph", "AGPL-3.0-or-later"),
    "vectron-client": ("vectron_client", "Apache-2.0"),
    "vectrograph": ("vectrograph", "AGPL-3.0-or-later"),
}
LICENCE_LINES = {
    "Apache-2.0": ("Apache License", "END OF TERMS AND CONDITIONS"),
    "AGPL-3.0-or-later": ("GNU AFFERO GENERAL PUBLIC LICENSE", "END OF TERMS AND CONDITIONS"),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_is_whole(name: str) -> None:
    package, licence = DISTRIBUTIONS[name]
    folder = ROOT / "packages" / name
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == name
    assert project["version"] == "0.60.0.dev0"
    assert project["license"] == licence
    assert "dev" in project["optional-dependencies"]
    assert (folder / "src" / package / "py.typed").exists()
    text = (folder / "LICENSE").read_text()
    for line in LICENCE_LINES[licence]:
        assert line in text


def test_siblings_are_pinned_to_the_same_version() -> None:
    for name in DISTRIBUTIONS:
        project = tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"].values()
        wanted = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
        for requirement in wanted:
            sibling, _, pinned = requirement.partition("==")
            if sibling in DISTRIBUTIONS:
                assert pinned == project["version"], requirement


def test_the_changelog_has_the_version() -> None:
    assert "## 0.60.0.dev0" in (ROOT / "CHANGELOG.md").read_text()
