"""A long silence on a connection to a server with gRPC's own defaults.

In the suite half an hour of it, with all times divided by 150; gRPC pings once a second at most, so that it cannot be
much shorter. `make idle` takes a whole hour, with nothing divided.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from vectron_client import ClientOptions, UnavailableError, VectronClient
from vectron_client._pb import vectron_pb as wire
from vectron_client._transport import endpoint

if TYPE_CHECKING:
    from scripted.conftest import ScriptedServer

WHOLE = "VECTRON_IDLE_SECONDS" in os.environ
SHARE = 1.0 if WHOLE else 1 / 150
SILENCE = float(os.environ.get("VECTRON_IDLE_SECONDS", 1800 * SHARE))

#: A ping every five minutes is what servers bear by default (gRFC A8); the third that comes earlier ends a connection.
FIVE_MINUTES_MS = 300_000


@pytest.fixture
def server(start: "Callable[..., ScriptedServer]", monkeypatch: pytest.MonkeyPatch) -> "ScriptedServer":
    """Provide a server that loses its patience as much sooner, and clients that ping as much more often."""
    if WHOLE:
        return start()
    plain = endpoint._arguments

    def hurried(options: ClientOptions) -> tuple[tuple[str, int | str], ...]:
        arguments = dict(plain(options))
        arguments["grpc.keepalive_time_ms"] = round(int(str(arguments["grpc.keepalive_time_ms"])) * SHARE)
        # Otherwise gRPC sends a ping a minute at most, however short the silence.
        arguments["grpc.http2.max_pings_without_data"] = 0
        return tuple(arguments.items())

    monkeypatch.setattr(endpoint, "_arguments", hurried)
    return start(**{"http2.min_ping_interval_without_data_ms": round(FIVE_MINUTES_MS * SHARE)})


@pytest.mark.slow
@pytest.mark.timeout(SILENCE + 120)
def test_a_long_silence_ends_neither_calls_nor_connections(server: "ScriptedServer") -> None:
    silence = threading.Event()
    first, last = (wire.SearchResponse(results=[wire.SearchResult(id=id)]) for id in ("first", "last"))

    def stream(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield first.SerializeToString()
        silence.wait(SILENCE + 60)
        yield last.SerializeToString()

    server.script("SearchStream", stream)
    server.answers("ListCollections", wire.ListCollectionsResponse(collections=["docs"]))

    def connected(**options: Any) -> VectronClient:
        return VectronClient(server.address, options=ClientOptions(timeout_seconds=0, retry_max_attempts=1, **options))

    end = threading.Timer(SILENCE, silence.set)
    with connected() as polite, connected() as idle, connected(keepalive_time_ms=29_999) as rude:
        assert idle.list_collections() == ["docs"]
        silent, punished = (client.search_stream("docs", [1.0]) for client in (polite, rude))
        assert [next(each)[0].id for each in (silent, punished)] == ["first", "first"]
        end.start()
        with pytest.raises(UnavailableError):  # so this server does punish, and the next lines prove something
            next(punished)
        assert not silence.is_set()
        assert [hit.id for hit in next(silent)] == ["last"]
        assert polite.list_collections() == idle.list_collections() == ["docs"]
    end.join()
