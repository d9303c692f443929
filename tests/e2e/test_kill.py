"""kill -9 at a random moment: every acknowledged write is there after the restart, and no batch is half there."""

import random
import threading
from pathlib import Path

import numpy as np
import pytest

from neurograph import NeuroGraphClient, NeuroGraphError
from tests.e2e.processes import ServerProcess, serve
from vectron_client import ClientOptions, Point, VectronClient, VectronError

BATCH = 20
DIMENSION = 16


class _Writer(threading.Thread):
    """Writes batch after batch until the server dies; remembers what was acknowledged and what was only sent."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[int] = []
        self.sent = 0
        self.under_way = threading.Event()

    def write(self, batch: int) -> None:
        """Write one batch and return when it is acknowledged."""
        raise AssertionError("each transport has its own")

    def run(self) -> None:
        try:
            while True:
                self.sent += 1
                self.write(self.sent)
                self.acknowledged.append(self.sent)
                if len(self.acknowledged) >= 3:
                    self.under_way.set()
        except (NeuroGraphError, VectronError):
            return


class _RestWriter(_Writer):
    def __init__(self, client: NeuroGraphClient) -> None:
        super().__init__()
        self._client = client

    def write(self, batch: int) -> None:
        self._client.tokens.create_many({"text": f"batch {batch}", "metadata": {"batch": batch}} for _ in range(BATCH))


class _GrpcWriter(_Writer):
    def __init__(self, client: VectronClient) -> None:
        super().__init__()
        self._client = client

    def write(self, batch: int) -> None:
        self._client.upsert("docs", [Point(f"{batch}-{i}", _vector(batch, i), {"n": str(i)}) for i in range(BATCH)])


def _vector(batch: int, i: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    return np.random.default_rng([batch, i]).random(DIMENSION, dtype=np.float32)


def _clients(server: ServerProcess) -> tuple[NeuroGraphClient, VectronClient]:
    started = server.serving()
    rest = NeuroGraphClient(started["http"], username="developer", password="developer123", max_retries=0)
    key = rest.api_keys.create(name="writer").api_key
    options = ClientOptions(retry_max_attempts=1)
    return rest, VectronClient(started["grpc"], api_key=key, options=options)


@pytest.mark.slow
@pytest.mark.parametrize("round_number", range(3))
def test_acknowledged_means_on_disk(tmp_path: Path, round_number: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    pause = random.Random(seed).uniform(0.0, 0.4)
    with serve(tmp_path / "data") as server:
        rest, grpc = _clients(server)
        with rest, grpc:
            grpc.create_collection("docs", DIMENSION, "euclidean")
            writers: list[_Writer] = [_RestWriter(rest), _GrpcWriter(grpc)]
            for writer in writers:
                writer.start()
            for writer in writers:
                assert writer.under_way.wait(30)
            threading.Event().wait(pause)
            server.kill()
            for writer in writers:
                writer.join(30)
                assert not writer.is_alive()

    with serve(tmp_path / "data") as server:
        rest, grpc = _clients(server)
        with rest, grpc:
            _check_tokens(rest, writers[0])
            _check_points(grpc, writers[1])
        assert server.terminate() == 0


def _check_tokens(rest: NeuroGraphClient, writer: _Writer) -> None:
    found: dict[int, int] = {}
    offset = 0
    while page := rest.tokens.list(limit=1000, offset=offset):
        offset += len(page)
        for token in page:
            batch = (token.metadata or {})["batch"]
            found[batch] = found.get(batch, 0) + 1
    assert rest.health.status().tokens_count == offset
    assert set(writer.acknowledged) <= set(found)
    assert set(found) <= set(range(1, writer.sent + 1))
    assert set(found.values()) == {BATCH}


def _check_points(grpc: VectronClient, writer: _Writer) -> None:
    for batch in writer.acknowledged:
        for i in (0, BATCH - 1):
            point = grpc.get("docs", f"{batch}-{i}")
            np.testing.assert_array_equal(np.asarray(point.vector, np.float32), _vector(batch, i))
    in_doubt = writer.sent
    there = [_exists(grpc, f"{in_doubt}-{i}") for i in range(BATCH)]
    assert all(there) or not any(there)
    last = writer.acknowledged[-1]
    assert grpc.search("docs", _vector(last, 7), top_k=1)[0].id == f"{last}-7"


def _exists(grpc: VectronClient, point_id: str) -> bool:
    try:
        grpc.get("docs", point_id)
    except VectronError as error:
        assert error.code == "NOT_FOUND"
        return False
    return True
