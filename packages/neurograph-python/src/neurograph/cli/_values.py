"""Arguments that hold JSON or text, given as they are, from a file (`@name`), or from standard input (`-`)."""

import json
import sys
from pathlib import Path
from typing import Any

from neurograph.exceptions import ConfigurationError


def text_argument(value: str, what: str) -> str:
    """Return a text, or what standard input holds when it is `-`; one line feed at its end is dropped.

    Raises:
        ConfigurationError: standard input is not UTF-8.

    >>> text_argument("hello", "TEXT")
    'hello'
    """
    return _stdin(what).removesuffix("\n").removesuffix("\r") if value == "-" else value


def json_argument(value: str | None, what: str, kind: type) -> Any:
    """Return a JSON argument of one kind: the text itself, `@file`, or `-` for standard input; None passes.

    Args:
        value: as given.
        what: how errors call it.
        kind: dict or list.

    Raises:
        ConfigurationError: no JSON, another kind, or a file that cannot be read.

    >>> json_argument('{"lang": "fr"}', "--metadata", dict)
    {'lang': 'fr'}
    """
    if value is None:
        return None
    text = value
    if value == "-":
        text = _stdin(what)
    elif value.startswith("@"):
        text = read_text(Path(value[1:]), what)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        example = '{"lang": "fr"}' if kind is dict else "[0.1, 0.2]"
        raise ConfigurationError(f"{what} is not JSON ({error}); pass for example '{example}', or @file") from error
    if not isinstance(parsed, kind):
        wanted = "an object {…}" if kind is dict else "an array […]"
        raise ConfigurationError(f"{what} must be {wanted}, not {type(parsed).__name__}")
    return parsed


def read_text(path: Path, what: str) -> str:
    """Return the text of a file.

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{what}: cannot read {path}: {error}") from error


def secret_line(source: str, what: str) -> str:
    """Return the first line of a file, or of standard input when it is `-`.

    Raises:
        ConfigurationError: it cannot be read, or is empty.
    """
    text = _stdin(what) if source == "-" else read_text(Path(source), what)
    line = text.split("\n", 1)[0].rstrip("\r")
    if not line:
        raise ConfigurationError(f"{what}: the first line of {source} is empty")
    return line


def _stdin(what: str) -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{what}: standard input is not UTF-8: {error}") from error
