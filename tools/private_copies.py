"""Write what the two clients have in common into both, from one source in `packages/wirekit`.

Each client installs alone and shares no file with the other, so each has its own copy: of the package `wirekit` as
`neurograph._wirekit` and `vectron_client._wirekit`, and of the single files in `FILES`. A copy differs in its banner
and in the name of the package it imports from.
"""

import re
from pathlib import Path
from typing import Final

import unasync

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = "packages/wirekit/src/wirekit"
COPIES: Final = {
    "neurograph._wirekit": "packages/neurograph-python/src/neurograph/_wirekit",
    "vectron_client._wirekit": "packages/vectron-client/src/vectron_client/_wirekit",
}
FILES: Final = {
    "packages/wirekit/tests/client_public_api.py": {
        "neurograph._wirekit": "packages/neurograph-python/tests/test_neurograph_public_api.py",
        "vectron_client._wirekit": "packages/vectron-client/tests/test_vectron_public_api.py",
    },
}
BANNER: Final = (
    "# Generated from {source} by tools/private_copies.py; do not edit.\n# SPDX-License-Identifier: Apache-2.0\n"
)
_PACKAGE: Final = re.compile(r"\bwirekit(?=\.| import\b)")


def copies(root: Path = ROOT) -> dict[str, str]:
    """Return the text of every copy by its path relative to the repository."""
    modules = [f"{SOURCE}/{source.name}" for source in sorted((root / SOURCE).glob("*.py"))]
    jobs = [(source, package, f"{COPIES[package]}/{Path(source).name}") for package in COPIES for source in modules]
    jobs += [(source, package, target) for source, targets in FILES.items() for package, target in targets.items()]
    made: dict[str, str] = {}
    for source, package, target in jobs:
        text = BANNER.format(source=source) + _PACKAGE.sub(package, (root / source).read_text("utf-8"))
        made[target] = unasync.ruff(text, ("format",), target, root)
    return made


def write(root: Path = ROOT) -> None:
    """Write every copy and remove modules whose source is gone."""
    for target, text in copies(root).items():
        path = root / target
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for orphan in _orphans(root):
        (root / orphan).unlink()


def check(root: Path = ROOT) -> list[str]:
    """Return what is wrong with the copies on disk, a line each: stale, missing or orphaned."""
    stale = [
        f"stale: {target} differs from its source in packages/wirekit"
        for target, text in copies(root).items()
        if not (root / target).exists() or (root / target).read_text(encoding="utf-8") != text
    ]
    return stale + [f"orphaned: {path} has no source in {SOURCE}" for path in _orphans(root)]


def _orphans(root: Path) -> list[str]:
    names = {source.name for source in (root / SOURCE).glob("*.py")}
    found = (path for folder in COPIES.values() for path in sorted((root / folder).glob("*.py")))
    return [path.relative_to(root).as_posix() for path in found if path.name not in names]
