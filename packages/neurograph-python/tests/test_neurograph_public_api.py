# Generated from packages/wirekit/tests/client_public_api.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""The public API of this client, as text, is the one that was accepted: no name, signature or base changes unnoticed.

`public_api.txt` beside this file has every public name. The text says nothing about the modules in which things are
defined, so moving code changes nothing in it. After an intended change, accept the new text and review it:

    ACCEPT_PUBLIC_API=1 python -m pytest -k public_api
"""

import difflib
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

pytest.importorskip("griffe", reason="griffe needs Python 3.11")
import griffe

ACCEPTED = Path(__file__).with_name("public_api.txt")
[SOURCE] = Path(__file__).parent.parent.glob("src/*/__init__.py")
PACKAGE = SOURCE.parent.name
# Dunder names that are no part of how a class is used, or change with every release.
UNSHOWN = {"__all__", "__match_args__", "__module__", "__slots__"}
UNVALUED = {"__version__"}


class Snapshot:
    """The public names of a package and what each of them is, read from its source without importing it."""

    def __init__(self) -> None:
        self.package: Any = griffe.load(
            PACKAGE, search_paths=[SOURCE.parent.parent], allow_inspection=False, resolve_aliases=True
        )
        self.modules = dict(self._public_modules(self.package))
        self.names: dict[str, list[str]] = {}  # path of a definition -> the public paths that lead to it
        self.waiting: list[Any] = []  # definitions without a public path that public ones mention
        self.seen: set[str] = set()
        for path, module in self.modules.items():
            for name in exported(module):
                self.names.setdefault(final(module.members[name]).path, []).append(f"{path}.{name}")

    def _public_modules(self, module: Any) -> Iterator[tuple[str, Any]]:
        yield module.path, module
        for member in module.members.values():
            if not member.is_alias and member.is_module and not member.name.startswith("_"):
                yield from self._public_modules(member)

    def text(self) -> str:
        """Return the whole snapshot: public modules, public definitions, then what those mention by name."""
        public: list[tuple[str, str]] = []
        mentioned: set[tuple[str, str]] = set()
        for path, names in self.names.items():
            first, *others = sorted(names, key=lambda name: (name.count("."), name))
            also = "".join(f"\n    also {name}" for name in others)
            public.append((first, self.described(self._find(path), first) + also))
        while self.waiting:
            found = self.waiting.pop()
            mentioned.add((found.name, self.described(found, found.name, made_by_users=False)))
        parts = ["\n".join(sorted(self.modules)), *(text for _, text in sorted(public))]
        parts += ["# Without a public path, but mentioned above", *(text for _, text in sorted(mentioned))]
        return "\n\n".join(parts) + "\n"

    def described(self, found: Any, title: str, *, made_by_users: bool = True) -> str:
        """Return the lines of one definition; `__init__` only of what users construct."""
        if not found.is_class:
            return "\n".join(self.member(title, found))
        bases: list[str] = []
        members: dict[str, Any] = {}
        for base in found.bases:
            self._inherit(base, bases, members)
        members.update(found.members)
        shown = [name for name in members if is_public(name) and (made_by_users or name != "__init__")]
        lines = sorted(line for name in shown for line in self.member(name, final(members[name])))
        marks = "".join(f"@{self.shown(each.value)} " for each in found.decorators)
        head = f"{marks}class {title}({', '.join(bases)})" if bases else f"{marks}class {title}"
        return "\n    ".join([head, *lines])

    def _inherit(self, base: Any, bases: list[str], members: dict[str, Any]) -> None:
        """Note a base that users can name; of any other base take the members and its own bases."""
        path = base if isinstance(base, str) else base.canonical_path
        found = self._find(path)
        if found is None or found.path in self.names:
            bases.append(self.shown(base))
            return
        inherited: dict[str, Any] = {}
        for each in found.bases:
            self._inherit(each, bases, inherited)
        for name, member in {**inherited, **found.members}.items():
            members.setdefault(name, member)

    def member(self, name: str, found: Any) -> list[str]:
        """Return what a function or attribute is, a line for each of its signatures."""
        if found.is_function:
            marks = "".join(f"@{self.shown(each.value)} " for each in found.decorators)
            marks += "async " if "async" in found.labels else ""
            forms = found.overloads or [found]
            return [f"{marks}def {name}{self.signature(form)}" for form in forms]
        if "property" in found.labels:
            return [f"property {name}: {self.shown(found.annotation)}"]
        line = name
        if found.annotation is not None:
            line += f": {self.shown(found.annotation)}"
        # What `__init__` assigns is no part of the API, and what a class or module assigns is a default.
        defined = not found.parent.is_class or "class-attribute" in found.labels
        if found.value is not None and defined and name.rpartition(".")[2] not in UNVALUED:
            line += f" = {self.shown(found.value)}"
        return [line]

    def signature(self, function: Any) -> str:
        """Return parameters with annotations and defaults, and what comes back."""
        for parameter in function.parameters:
            self.shown(parameter.annotation)
            self.shown(parameter.default)
        self.shown(function.returns)
        written: str = function.signature()
        return written[written.index("(") :]

    def shown(self, expression: Any) -> str:
        """Return an expression as it is written, and remember the definitions of this package that it names."""
        for part in () if expression is None or isinstance(expression, str) else expression.iterate(flat=True):
            path = getattr(part, "canonical_path", "")
            found = self._find(path)
            if (
                found is not None
                and not found.is_module
                and found.path not in self.names
                and found.path not in self.seen
            ):
                self.seen.add(found.path)
                if not is_type_variable(found):
                    self.waiting.append(found)
        return str(expression)

    def _find(self, path: str) -> Any:
        if not path.startswith(f"{PACKAGE}."):
            return None
        try:
            return final(self.package[path.removeprefix(f"{PACKAGE}.")])
        except (KeyError, griffe.AliasResolutionError):
            return None


def final(member: Any) -> Any:
    """Return the definition behind a name that may have been imported."""
    return member.final_target if member.is_alias else member


def exported(module: Any) -> list[str]:
    """Return the public names of a module: its `__all__`, else what it defines itself without an underscore."""
    if module.exports is not None:
        return [str(name) for name in module.exports]
    own = [(name, member) for name, member in module.members.items() if not (member.is_alias or member.is_module)]
    return [name for name, member in own if is_public(name) and not is_type_variable(member)]


def is_type_variable(found: Any) -> bool:
    """Return whether a definition only serves type checkers."""
    return str(getattr(found, "value", "")).startswith(("TypeVar(", "ParamSpec("))


def is_public(name: str) -> bool:
    """Return whether users may use a name; operators and their like count."""
    return name not in UNSHOWN and (not name.startswith("_") or (name.startswith("__") and name.endswith("__")))


def test_the_public_api_is_the_accepted_one() -> None:
    text = Snapshot().text()
    if os.environ.get("ACCEPT_PUBLIC_API"):
        ACCEPTED.write_text(text, encoding="utf-8")
    accepted = ACCEPTED.read_text(encoding="utf-8")
    changes = difflib.unified_diff(accepted.splitlines(), text.splitlines(), "accepted", "now", lineterm="")
    assert text == accepted, "\n".join(
        ["The public API differs. If that is intended, run again with ACCEPT_PUBLIC_API=1 and commit it:", *changes]
    )


@pytest.mark.parametrize("name", import_module(PACKAGE).__all__)
def test_an_exported_class_or_function_names_a_module_that_users_know(name: str) -> None:
    """Tracebacks, reprs and pickles name the module; it must be public, and lead back to the same thing."""
    found = getattr(import_module(PACKAGE), name)
    if isinstance(found, (type, FunctionType)):
        assert "._" not in found.__module__
        assert getattr(import_module(found.__module__), found.__qualname__) is found
