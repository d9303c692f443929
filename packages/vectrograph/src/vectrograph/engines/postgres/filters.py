"""Filters as jsonpath: a superset in SQL, decided by the domain where SQL cannot decide.

The whole filter becomes one jsonpath text, which is bound as a parameter: the statement stays the same for all filters,
and the GIN index answers its equalities. The column `fields` holds the payload as jsonb. It is NULL where jsonb cannot
hold the payload (a NUL character in a text); such a row is a candidate of every filter.

`Not` is pushed down to the leaves. In strict mode jsonpath answers a comparison of two types, and a path that leads
nowhere, with "unknown"; a negated leaf is therefore `!(leaf) || (leaf) is unknown`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from vectrograph.domain.filters.evaluation import (
    AllElements,
    And,
    AnyElement,
    Compare,
    Comparison,
    DateRange,
    Exists,
    Filter,
    In,
    IsNull,
    NoElement,
    Not,
    Or,
    Path,
    Prefix,
    Range,
    Scalar,
    Substring,
)
from vectrograph.domain.filters.nodes import bounds_of

# Integers up to here, and all decimals of that size, mean the same in jsonb as in the domain: float64 holds them.
_EXACT_NUMBERS: Final = 2**53
# Width of the range that stands for a larger number, relative to it. Generous: float64 has 1.1e-16.
_WIDENING: Final = 1e-12
# Characters of a pattern; of a longer text the beginning is looked for. Chosen: a pattern is compiled each time.
_MAX_PATTERN: Final = 200
_EVERYTHING: Final = '@.type() != ""'
_NOTHING: Final = '@.type() == ""'
_SYMBOLS: Final = {
    Comparison.EQ: "==",
    Comparison.NE: "!=",
    Comparison.LT: "<",
    Comparison.LTE: "<=",
    Comparison.GT: ">",
    Comparison.GTE: ">=",
}
_BOUNDS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter as PostgreSQL evaluates it.

    Attributes:
        path: jsonpath, true for every payload that matches; for `fields @? path`.
        exact: true for no other payload, so that rows with `fields` need not be decided by the domain.
    """

    path: str
    exact: bool


def compile_filter(filter: Filter) -> Condition:
    """Return a filter as jsonpath.

    >>> compile_filter(Compare(("genre",), Comparison.EQ, "drama"))
    Condition(path='strict $ ? (exists(@."genre" ? (@ == "drama")))', exact=True)
    """
    text, exact = _compile(filter, negated=False)
    return Condition(f"strict $ ? ({text})", exact)


_Part = tuple[str, bool]


def _compile(node: Filter, *, negated: bool) -> _Part:
    match node:
        case And(filters):
            return _joined([_compile(each, negated=negated) for each in filters], all_of_them=not negated)
        case Or(filters):
            return _joined([_compile(each, negated=negated) for each in filters], all_of_them=negated)
        case Not(inner):
            return _compile(inner, negated=not negated)
        case AnyElement():
            return _element(node, negated)
        case AllElements() | NoElement():
            # Which elements match is for the domain; here it is enough that there is an array.
            return (_EVERYTHING, False) if negated else (_at(node.path, '@.type() == "array"')[0], False)
        case Compare(op=Comparison.NE):
            there, (equal, exact) = _at(node.path, None), _at(node.path, *_comparison(Comparison.EQ, node.value))
            if negated:
                return _joined([_negated(*there), (equal, exact)], all_of_them=False)
            return _joined([there, _negated(equal, exact)], all_of_them=True)
        case Compare() | In() | Range() | DateRange() | Exists() | IsNull() | Prefix() | Substring():
            part = _at(node.path, *_leaf(node))
            return _negated(*part) if negated else part
        case _:
            assert_never(node)


def _joined(parts: Sequence[_Part], *, all_of_them: bool) -> _Part:
    """Join conditions by && or ||, as a tree of even depth: a chain of ten thousand exhausts the server's stack."""
    if not parts:
        return (_EVERYTHING if all_of_them else _NOTHING), True
    exact = all(each for _, each in parts)
    texts = [text for text, _ in parts]
    sign = "&&" if all_of_them else "||"
    while len(texts) > 1:
        pairs = [f"({texts[i]} {sign} {texts[i + 1]})" for i in range(0, len(texts) - 1, 2)]
        texts = pairs + texts[len(pairs) * 2 :]
    return texts[0], exact


def _negated(text: str, exact: bool) -> _Part:
    """Return the opposite of a leaf; of one that is true too often nothing follows."""
    return (f"(!({text}) || (({text}) is unknown))", True) if exact else (_EVERYTHING, False)


def _element(node: AnyElement, negated: bool) -> _Part:
    if negated:
        return _EVERYTHING, False
    inner, exact = _compile(node.filter, negated=False)
    steps = _steps(node.path)
    return (_NOTHING, True) if steps is None else (f"exists({steps}[*] ? ({inner}))", exact)


def _at(path: Path, test: str | None, exact: bool = True) -> _Part:
    """Return the condition that a path leads to a value, and that the value passes a test."""
    steps = _steps(path)
    if steps is None:
        return _NOTHING, True
    return (f"exists({steps})" if test is None else f"exists({steps} ? ({test}))"), exact


def _steps(path: Path) -> str | None:
    """Return the accessors of a path; None where no payload that jsonb holds has it."""
    steps = ["@"]
    for step in path:
        if isinstance(step, int):
            if step >= 2**31:
                return None
            steps.append(f"[{step}]")
        elif _is_storable(step):
            steps.append(f".{_quoted(step)}")
        else:
            return None
    return "".join(steps)


def _leaf(leaf: Compare | In | Range | DateRange | Exists | IsNull | Prefix | Substring) -> tuple[str | None, bool]:
    """Return the test of a leaf on the value `@`, None for one that every value passes, and whether it is exact."""
    match leaf:
        case Compare():
            return _comparison(leaf.op, leaf.value)
        case In(values=values):
            return _joined([_comparison(Comparison.EQ, value) for value in values], all_of_them=False)
        case Range():
            bounds = [_number(_BOUNDS[name], bound) for name, bound in bounds_of(leaf)]
            return _joined(bounds, all_of_them=True)
        case DateRange():
            return '@.type() == "string"', False
        case Exists():
            return None, True
        case IsNull():
            return "@ == null", True
        case Prefix(text=text, fold_case=fold):
            if fold or not text:
                return '@.type() == "string"', not fold
            return (f"@ starts with {_quoted(text)}", True) if _is_storable(text) else (_NOTHING, True)
        case Substring(text=text, fold_case=fold):
            if fold or not text:
                return '@.type() == "string"', not fold
            if not _is_storable(text):
                return _NOTHING, True
            return f'@ like_regex {_quoted(text[:_MAX_PATTERN])} flag "q"', len(text) <= _MAX_PATTERN
        case _:
            assert_never(leaf)


def _comparison(op: Comparison, value: Scalar) -> _Part:
    if isinstance(value, bool) or value is None:
        return f"@ == {json.dumps(value)}", True
    if isinstance(value, int | float):
        return _number(_SYMBOLS[op], value)
    if _is_storable(value):
        return f"@ {_SYMBOLS[op]} {_quoted(value)}", True
    # No text that jsonb holds equals it; how texts are ordered beside it is for the domain.
    return (_NOTHING, True) if op is Comparison.EQ else ('@.type() == "string"', False)


def _number(symbol: str, value: float) -> _Part:
    """Compare with a number: by a range that surely holds it where decimals and float64 may differ."""
    if abs(value) <= _EXACT_NUMBERS:
        return f"@ {symbol} {_decimal(value)}", True
    # In whole numbers: one of seventy digits is no float64, and float64 may overflow.
    middle = int(value)
    width = abs(middle) // int(1 / _WIDENING) + 1
    low, high = f"@ >= {_decimal(middle - width)}", f"@ <= {_decimal(middle + width)}"
    return {"==": f"{low} && {high}", "<": high, "<=": high}.get(symbol, low), False


def _decimal(value: float) -> str:
    return f"({value!r})" if value < 0 else repr(value)


def _is_storable(text: str) -> bool:
    """Return whether jsonb can hold a text: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and _SURROGATES.search(text) is None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
