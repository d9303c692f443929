"""The engines that are measured, each behind the protocol of `base`.

A subject imports its engine when it is opened, so that a process holds one engine and none has to be installed for
the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.engine.subjects.base import Shape, Subject


@dataclass(frozen=True, slots=True)
class Entry:
    """Registration of a subject: its class, the package it measures and the distribution that has the version."""

    module: str
    package: str
    distribution: str


OURS: Final = "vectrograph"
LIMITS: Final = ("faiss-sq8", "faiss-flat")
"""Bare indexes: no durability, no filters, no payload. The limit of what the parameters allow, not peers."""

KERNELS: Final = ("kernel", "kernel-avx2")
"""The index kernel alone, with the best instructions of the processor and with AVX2: what the engine can become."""

SUBJECTS: Final = {
    OURS: Entry("embedded", "vectrograph.engines.embedded", "vectrograph"),
    "zvec": Entry("zvec_collection", "zvec", "zvec"),
    "qdrant-edge": Entry("qdrant_shard", "qdrant_edge", "qdrant-edge-py"),
    "lancedb": Entry("lancedb_table", "lancedb", "lancedb"),
    "chromadb": Entry("chroma_collection", "chromadb", "chromadb"),
    "faiss-sq8": Entry("faiss_index", "faiss", "faiss-cpu"),
    "faiss-flat": Entry("faiss_index", "faiss", "faiss-cpu"),
    "kernel": Entry("kernel_index", "vectrograph.engines.embedded.kernel", "vectrograph"),
    "kernel-avx2": Entry("kernel_index", "vectrograph.engines.embedded.kernel", "vectrograph"),
}
PEERS: Final = tuple(name for name in SUBJECTS if name not in (OURS, *LIMITS, *KERNELS))


def subject_class(name: str) -> type[Subject]:
    """Return the class of a subject; importing it imports no engine.

    Raises:
        KeyError: there is no such subject.
    """
    module = import_module(f"benchmarks.engine.subjects.{SUBJECTS[name].module}")
    found: type[Subject] = module.CLASSES[name]
    return found


def open_subject(name: str, directory: Path, shape: Shape) -> Subject:
    """Open, or create, a collection of one engine in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    return subject_class(name)(directory, shape)


def installed(names: Sequence[str]) -> list[str]:
    """Return those subjects whose engine can be imported here."""
    return [name for name in names if _is_there(SUBJECTS[name].package)]


def versions(names: Sequence[str]) -> dict[str, str]:
    """Return version of the distribution behind each subject."""
    found = {}
    for name in names:
        try:
            found[name] = version(SUBJECTS[name].distribution)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
