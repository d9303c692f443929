"""Guide to a client, in words and as data, read off the client itself."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from vectron_client import exceptions
from vectron_client._options import ClientOptions


def guide(client: type) -> tuple[str, dict[str, Any]]:
    """Return a client's guide.

    Args:
        client: the class.

    Returns:
        The guide as text, and its facts: `client` (name of the class), `operations` (name → `signature` and `summary`),
        `options` (name → default) and `errors` (name → summary).
    """
    operations = {
        name: {"signature": name + _parameters(function), "summary": _summary(function)}
        for kind in reversed(inspect.getmro(client))
        for name, function in vars(kind).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }
    errors = {
        name: _summary(error)
        for name, error in vars(exceptions).items()
        if inspect.isclass(error) and issubclass(error, exceptions.VectronError)
    }
    facts = {
        "client": client.__name__,
        "operations": operations,
        "options": {option.name: option.default for option in fields(ClientOptions)},
        "errors": errors,
    }
    return _text(client.__name__, facts), facts


def _text(name: str, facts: dict[str, Any]) -> str:
    operations = facts["operations"].values()
    options = [f"{option} = {default!r}" for option, default in facts["options"].items()]
    sections = {
        f"Operations of {name}:": [f"{known['signature']}\n      {known['summary']}" for known in operations],
        "Fields of ClientOptions and their defaults:": options,
        "Errors, all of them a VectronError:": [f"{key}: {summary}" for key, summary in facts["errors"].items()],
    }
    return "\n\n".join("\n  ".join([title, *lines]) for title, lines in sections.items()) + "\n"


def _parameters(function: Callable[..., Any]) -> str:
    """Return the parameters without types and without `self`."""
    signature = inspect.signature(function)
    named = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
    return str(inspect.Signature(named))


def _summary(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]
