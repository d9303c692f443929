"""Files that the architecture page and CONTRIBUTING.md name are there."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ROOT / "packages"
BASES: Final = (
    ROOT,
    PACKAGES,
    PACKAGES / "vectrograph/src/vectrograph",
    PACKAGES / "vectrograph/src/vectrograph/engines/embedded",
    PACKAGES / "neurograph-python/src",
    PACKAGES / "vectron-client/src",
)
PATH: Final = re.compile(r"`([\w./*-]+(?:\.py|/))(?:::(\w+))?`")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_exists_and_holds_the_function_named(page: str) -> None:
    named = PATH.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(named) > 10
    for path, function in named:
        found = [each for base in BASES for each in base.glob(path.rstrip("/"))]
        if path in ("_pb/", "_messages/", "_wirekit/"):
            found = list(PACKAGES.rglob(path.rstrip("/")))
        assert found, f"{page} names {path}, which does not exist"
        if function:
            assert any(re.search(rf"def {function}\(", each.read_text(encoding="utf-8")) for each in found), (
                path,
                function,
            )
