"""Check the summaries of docstrings: none begins with a relative clause.

Ruff's D401 asks functions for the imperative. It leaves out properties, classes and modules, and takes "Return whether"
for granted; this check covers all of them: `python tools/plain_english.py`. Standard library only.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_FOLDERS: Final = ("packages", "tests", "tools", "benchmarks")
_SKIPPED: Final = frozenset({"_pb", ".venv", "build", "dist"})
_CLAUSES: Final = frozenset(
    {"How", "That", "What", "Whatever", "When", "Where", "Whether", "Which", "Who", "Whoever", "Whose", "Why"}
)
_NODES: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def faults(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and first line of each summary that begins with a relative clause.

    >>> list(faults('def f():\\n    "Whether it holds."'))
    [(2, 'Whether it holds.')]
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _NODES) and (summary := (ast.get_docstring(node) or "").partition("\n")[0]):
            first = summary.split(maxsplit=1)[0].strip(",:;.")
            if first in _CLAUSES:
                yield getattr(node.body[0], "lineno", 1), summary


def main() -> int:
    """Print every fault; return 1 if there is one."""
    count = 0
    for folder in _FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if _SKIPPED.isdisjoint(path.parts):
                for line, summary in faults(path.read_text(encoding="utf-8")):
                    count += 1
                    print(f"{path.relative_to(ROOT)}:{line}: {summary}")
    if count:
        print(f"{count} summaries begin with a relative clause; begin with a verb, or with a noun (classes, modules).")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
