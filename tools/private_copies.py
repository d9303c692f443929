"""Write what the two clients have in common into both, from one source in `packages/wirekit`.

Each client installs alone and shares no file with the other, so each has its own copy: of the package `wirekit` as
`neurograph._wirekit` and `vectron_client._wirekit`, and of the single files in `FILES`. A copy differs in its banner,
in the name of the package it imports from, and a file also in the words that its `FILES` entry names.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import unasync

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = "packages/wirekit/src/wirekit"
COPIES: Final = {
    "neurograph._wirekit": "packages/neurograph-python/src/neurograph/_wirekit",
    "vectron_client._wirekit": "packages/vectron-client/src/vectron_client/_wirekit",
}
# The single files: source -> package of the copy -> its path, and the client's own words for words of the source.
FILES: Final[dict[str, dict[str, tuple[str, dict[str, str]]]]] = {
    "packages/wirekit/clients/filters.py": {
        "neurograph._wirekit": (
            "packages/neurograph-python/src/neurograph/filters.py",
            {
                "from client import InvalidError, encoded, invalid": (
                    "from neurograph._protocol.filter_documents import document\n"
                    "from neurograph.exceptions import ValidationError"
                ),
                '"encoded"': '"document"',
                "InvalidError": "ValidationError",
                "invalid": "ValidationError.of",
                "points": "tokens",
                "point": "token",
                "their payloads": "their metadata",
                "payload": "metadata",
                "delete_where": "delete_many",
            },
        ),
        "vectron_client._wirekit": (
            "packages/vectron-client/src/vectron_client/filters.py",
            {
                "from client import InvalidError, encoded, invalid": (
                    "from vectron_client._protocol.arguments import encode_filter, invalid\n"
                    "from vectron_client.exceptions import InvalidArgumentError"
                ),
                '"encoded"': '"encode_filter"',
                "InvalidError": "InvalidArgumentError",
            },
        ),
    },
    "packages/wirekit/tests/client_public_api.py": {
        "neurograph._wirekit": ("packages/neurograph-python/tests/test_neurograph_public_api.py", {}),
        "vectron_client._wirekit": ("packages/vectron-client/tests/test_vectron_public_api.py", {}),
    },
}
BANNER: Final = (
    "# Generated from {source} by tools/private_copies.py; do not edit.\n# SPDX-License-Identifier: Apache-2.0\n"
)
# Other words sort differently.
_TIDY: Final = ("check", "--quiet", "--fix", "--select", "I,RUF022")
_PACKAGE: Final = re.compile(r"\bwirekit(?=\.| import\b)")


def copies(root: Path = ROOT) -> dict[str, str]:
    """Return the text of every copy by its path relative to the repository."""
    modules = [f"{SOURCE}/{source.name}" for source in sorted((root / SOURCE).glob("*.py"))]
    made: dict[str, str] = {}
    for package, folder in COPIES.items():
        for source in modules:
            target = f"{folder}/{Path(source).name}"
            made[target] = unasync.ruff(_copy(source, package, {}, root), ("format",), target, root)
    for source, clients in FILES.items():
        for package, (target, words) in clients.items():
            tidy = unasync.ruff(_copy(source, package, words, root), _TIDY, target, root)
            made[target] = unasync.ruff(tidy, ("format",), target, root)
    return made


def _copy(source: str, package: str, words: Mapping[str, str], root: Path) -> str:
    """Return a source with other words, longest first, and with imports from another package; not yet formatted.

    Raises:
        ValueError: the source does not have one of the words, so that the table stays true.
    """
    text = (root / source).read_text("utf-8")
    unused = [word for word in words if word not in text]
    if unused:
        raise ValueError(f"{source} has no {unused[0]!r}, which the table in tools/private_copies.py names")
    if words:
        longest_first = sorted(map(re.escape, words), key=len, reverse=True)
        text = re.sub(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", lambda found: words[found[0]], text)
    return BANNER.format(source=source) + _PACKAGE.sub(package, text)


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
