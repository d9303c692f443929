"""One vector database, two APIs: NeuroGraph's REST API and Vectron's gRPC API over one embedded engine."""

from typing import TYPE_CHECKING, Any

from vectrograph.version import VERSION

if TYPE_CHECKING:
    from vectrograph.inprocess import RunningServer as RunningServer
    from vectrograph.inprocess import running as running

__all__ = ["VERSION", "RunningServer", "running"]


def __getattr__(name: str) -> Any:
    """Load the in-process server only for those who ask for it."""
    if name in ("running", "RunningServer"):
        from vectrograph import inprocess as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
