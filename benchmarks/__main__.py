"""`python -m benchmarks` lists the benches there are; each runs as `python -m benchmarks.NAME`."""

import ast
from collections.abc import Iterator
from pathlib import Path


def benches(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and first docstring line of every package in a folder that can be run, sorted by name.

    >>> "engine" in dict(benches(Path(__file__).parent))
    True
    """
    for entry in sorted(folder.glob("*/__main__.py")):
        text = ast.get_docstring(ast.parse(entry.read_text(encoding="utf-8"))) or ""
        yield entry.parent.name, text.partition("\n")[0]


def main() -> None:
    """Print one line a bench."""
    for name, summary in benches(Path(__file__).parent):
        print(f"python -m benchmarks.{name:<10} {summary}")


if __name__ == "__main__":
    main()
