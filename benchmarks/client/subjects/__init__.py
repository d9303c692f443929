"""The clients that are measured: one module each, imported only in the process that measures it."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

OURS: Final = "neurograph"
# Name to the package that it needs; the first is ours.
SUBJECTS: Final = {
    OURS: "neurograph",
    "qdrant-rest": "qdrant_client",
    "qdrant-grpc": "qdrant_client",
    "pymilvus": "pymilvus",
}
_MODULES: Final = {OURS: "ours", "qdrant-rest": "qdrant", "qdrant-grpc": "qdrant", "pymilvus": "milvus"}


def installed() -> list[str]:
    """Return subjects whose package is there.

    >>> installed()[0]
    'neurograph'
    """
    return [name for name, package in SUBJECTS.items() if find_spec(package) is not None]


def module_of(name: str) -> Any:
    """Return the module of a subject: functions `serve(name, count, dimension)` and `client(name, address)`."""
    return import_module(f"benchmarks.client.subjects.{_MODULES[name]}")
