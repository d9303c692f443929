"""Everything that is measured, by name; a subject's module is imported in its own process only."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from benchmarks.server.jobs import Job


@dataclass(frozen=True, slots=True)
class Entry:
    """Subject of the bench, and the package that it needs."""

    module: str
    function: str
    package: str = "vectrograph"


SUBJECTS: Final = {
    "grpc": Entry("figures", "vectrograph_grpc"),
    "rest": Entry("figures", "vectrograph_rest"),
    "frames": Entry("figures", "vectrograph_frames"),
    "chroma": Entry("figures", "chroma", "chromadb"),
    "prototype": Entry("figures", "prototype", "faiss"),
    "engine": Entry("figures", "engine"),
    "bare-grpcio": Entry("costs", "bare_grpcio"),
    "bare-starlette": Entry("costs", "bare_starlette"),
    "client": Entry("costs", "client_vectron"),
    "client-protobuf": Entry("costs", "client_protobuf"),
    "client-qdrant": Entry("costs", "client_qdrant", "qdrant_client"),
}
"""grpc, rest and frames are this server: through vectron-client, over HTTP, over HTTP with binary bodies; client is
vectron-client before a sink."""

DISTRIBUTIONS: Final = (
    "vectrograph",
    "vectron-client",
    "chromadb",
    "faiss-cpu",
    "grpcio",
    "starlette",
    "qdrant-client",
)


def installed(names: Sequence[str]) -> list[str]:
    """Return those subjects whose package can be imported here."""
    return [name for name in names if find_spec(SUBJECTS[name].package) is not None]


def measure(job: Job) -> dict[str, Any]:
    """Measure a subject in this process."""
    entry = SUBJECTS[job.subject]
    found: dict[str, Any] = getattr(import_module(f"benchmarks.server.{entry.module}"), entry.function)(job)
    return found
