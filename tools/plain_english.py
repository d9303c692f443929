"""Check that summaries of docstrings begin with no relative clause, and that numeric constants say what they are.

Ruff's D401 asks functions for the imperative. It leaves out properties, classes and modules, and takes "Return whether"
for granted; this check covers all of them, and the docstrings below assignments. A numeric constant of a module of the
packages needs a comment above or beside it, or a docstring below: its unit, its meaning, how it was chosen. Generated
files are left out.

Run `python tools/plain_english.py`. Standard library only.
"""

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_FOLDERS: Final = ("packages", "tests", "tools", "benchmarks")
_SKIPPED: Final = frozenset({"_pb", ".venv", "build", "dist"})
_CLAUSES: Final = frozenset(
    {"How", "That", "What", "Whatever", "When", "Where", "Whether", "Which", "Who", "Whoever", "Whom", "Whose", "Why"}
)
_NODES: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_GENERATED: Final = re.compile(r'(# |""")Generated ')
_CONSTANT: Final = re.compile(r"_*[A-Z][A-Z0-9_]*")
# Comments for tools explain nothing to a reader.
_COMMENT: Final = re.compile(r"#(?! *(noqa|type:|pyright:|pragma|nosec))")


def faults(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and first line of each summary that begins with a relative clause.

    >>> list(faults('def f():\\n    "Whether it holds."'))
    [(2, 'Whether it holds.')]
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _NODES):
            found = [(getattr(node.body[0], "lineno", 1), ast.get_docstring(node) or ""), *_of_assignments(node.body)]
            for line, docstring in found:
                summary = docstring.strip().partition("\n")[0]
                if summary and summary.split(maxsplit=1)[0].strip(",:;.") in _CLAUSES:
                    yield line, summary


def _of_assignments(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each docstring below an assignment."""
    for before, node in pairwise(body):
        if isinstance(before, ast.Assign | ast.AnnAssign) and (text := _text(node)) is not None:
            yield node.lineno, text


def _text(node: ast.stmt | None) -> str | None:
    """Return the string that is a statement by itself, None for other statements."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


def bare_numbers(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and name of each numeric constant of a module without comment or docstring.

    >>> list(bare_numbers("# Seconds.\\nPAUSE = 2 * 60\\nTRIES = 3\\n"))
    [(3, 'TRIES')]
    """
    if _GENERATED.match(text):
        return
    lines = text.split("\n")
    for node, after in pairwise([*ast.parse(text).body, None]):
        if node is None or (name := _number_name(node)) is None:
            continue
        above = lines[node.lineno - 2].lstrip() if node.lineno > 1 else ""
        beside = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset :]
        if not (_COMMENT.match(above) or _COMMENT.search(beside) or _text(after) is not None):
            yield node.lineno, name


def _number_name(node: ast.stmt) -> str | None:
    """Return the name of the constant that a statement sets to a number written out, None for other statements."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not _is_number(node.value):
        return None
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    return target.id if isinstance(target, ast.Name) and _CONSTANT.fullmatch(target.id) else None


def _is_number(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, int | float) and not isinstance(value.value, bool)
    if isinstance(value, ast.BinOp):
        return _is_number(value.left) and _is_number(value.right)
    return isinstance(value, ast.UnaryOp) and _is_number(value.operand)


def main() -> int:
    """Print every fault; return 1 if there is one."""
    clauses = numbers = 0
    for folder in _FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if _SKIPPED.isdisjoint(path.parts):
                name, text = path.relative_to(ROOT), path.read_text(encoding="utf-8")
                for line, summary in faults(text):
                    clauses += 1
                    print(f"{name}:{line}: {summary}")
                if name.parts[2:3] == ("src",):
                    for line, constant in bare_numbers(text):
                        numbers += 1
                        print(f"{name}:{line}: {constant}")
    if clauses:
        print(
            f"{clauses} summaries begin with a relative clause; begin with a verb, or with a noun (classes, modules)."
        )
    if numbers:
        print(f"{numbers} numeric constants say nothing; add unit, meaning and origin as a comment above.")
    return 1 if clauses or numbers else 0


if __name__ == "__main__":
    sys.exit(main())
