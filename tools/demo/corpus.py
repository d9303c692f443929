"""The documentation strings of this machine's standard library: a real corpus that everyone has.

Modules with source are read with `ast` (importing them could run anything: `antigravity` opens a browser); the C
modules, which have no source, are imported from an explicit list of harmless ones.
"""

import ast
import importlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = {
    "distutils",
    "idlelib",
    "lib2to3",
    "test",
    "tests",
    "turtledemo",
    "site-packages",
    "__pycache__",
    "ensurepip",
}
_COMPILED = [
    "_bisect",
    "_bz2",
    "_csv",
    "_heapq",
    "_lzma",
    "_random",
    "_struct",
    "array",
    "binascii",
    "builtins",
    "cmath",
    "errno",
    "faulthandler",
    "fcntl",
    "gc",
    "grp",
    "itertools",
    "math",
    "marshal",
    "mmap",
    "posix",
    "pwd",
    "resource",
    "select",
    "sys",
    "syslog",
    "termios",
    "time",
    "unicodedata",
    "zlib",
]
_SHORTEST = 20
_SUMMARY = 120


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented thing: its qualified name, kind (module, class, function), module, and what its documentation
    says first.
    """

    name: str
    kind: str
    module: str
    text: str

    @property
    def metadata(self) -> dict[str, str]:
        """Payload stored beside the text."""
        return {"module": self.module, "kind": self.kind, "qualified_name": self.name}


def collect() -> list[Entry]:
    """Return every public documented module, class and function of the standard library, sorted by qualified name."""
    found: dict[str, Entry] = {}
    for entry in (*_from_sources(), *_from_compiled()):
        found.setdefault(entry.name, entry)
    return [found[name] for name in sorted(found)]


def _from_sources() -> Iterator[Entry]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not parts or parts[0] not in sys.stdlib_module_names or not _public(parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        module = ".".join(parts)
        yield from _documented(tree, module, module, "module")
        yield from _members(tree, module, module)


def _public(parts: tuple[str, ...]) -> bool:
    return not any(part in _SKIPPED or part.startswith("_") for part in parts)


def _members(owner: ast.Module | ast.ClassDef, prefix: str, module: str) -> Iterator[Entry]:
    for node in owner.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _documented(node, name, module, "class")
            yield from _members(node, name, module)
        else:
            yield from _documented(node, name, module, "function")


def _documented(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
    name: str,
    module: str,
    kind: str,
) -> Iterator[Entry]:
    text = ast.get_docstring(node)
    if text is not None:
        yield from _entry(name, kind, module, text)


def _from_compiled() -> Iterator[Entry]:
    for module_name in _COMPILED:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        shown = module_name.lstrip("_")
        yield from _entry(shown, "module", shown, inspect.getdoc(module) or "")
        for name, member in sorted(vars(module).items()):
            if name.startswith("_") or not callable(member):
                continue
            kind = "class" if inspect.isclass(member) else "function"
            yield from _entry(f"{shown}.{name}", kind, shown, inspect.getdoc(member) or "")


def _entry(name: str, kind: str, module: str, text: str) -> Iterator[Entry]:
    words = " ".join(text.split())
    if len(words) < _SHORTEST:
        return
    # A text's vector is the mean of its words': what follows the opening words only blurs what they say.
    summary = textwrap.shorten(f"{name.replace('.', ' ').replace('_', ' ')}: {words}", _SUMMARY, placeholder="")
    yield Entry(name, kind, module, summary)
