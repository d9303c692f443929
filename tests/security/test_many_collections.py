"""FINDINGS B4: collections that nobody uses cost no file descriptors, and running out of descriptors is never fatal."""

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.e2e.processes import ServerProcess, serve
from tests.security.vectron_wire import Wire
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.points import Put
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.rpc._pb import vectron_pb as pb

OPEN_FILES = 256
# An open collection has three descriptors or more: five times what the process may have.
MANY = 400
CONNECTIONS = 400
VECTOR = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Provide a data directory with many collections of one point each; in memory, because making one syncs several
    times.
    """
    shared = Path("/dev/shm")  # noqa: S108 - a directory of its own is made there
    directory = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    engine = EmbeddedEngine.open(directory / "data", ballast_bytes=0)
    try:
        for number in range(MANY):
            ref = CollectionRef("default", f"c{number}")
            engine.create(CollectionSpec.dense(ref, 4, Distance.COSINE))
            engine.write(ref, [Put(id="first", vector=np.array(VECTOR, np.float32), payload={"n": number})])
    finally:
        engine.close()
    yield directory / "data"
    shutil.rmtree(directory)


def descriptors(server: ServerProcess) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def found(wire: Wire, credential: str, name: str) -> list[str]:
    answer = wire.call("Search", pb.SearchRequest(collection=name, vector=VECTOR, top_k=10), credential)
    return sorted(hit.id for hit in answer.results)


def damage_one(data: Path) -> str:
    """Overwrite the first page of the file of one collection; returns its name."""
    # The check in the background takes them in this order: the test need not wait for all of them.
    directory = sorted((data / "collections").iterdir())[MANY // 8]
    with (directory / "points.sqlite").open("r+b") as file:
        file.write(b"\xff" * 4096)
    name: str = json.loads((directory / "manifest.json").read_bytes())["spec"]["name"]
    return name


def test_four_hundred_collections_under_256_descriptors(data: Path) -> None:
    """All are read, searched and written, also while connections take what is left, and again after a restart."""
    login = {"username": "developer", "password": "developer123"}
    with serve(data, open_files=OPEN_FILES) as server:
        started = json.loads(server.read_until('"serving"', 120))
        server.read_until(f"limit on open files is {OPEN_FILES}")
        with Wire(started["grpc"]) as wire:
            credential = httpx2.post(f"{started['http']}/api/v1/auth/login", json=login).json()["access_token"]
            assert len(wire.call("ListCollections", credential=credential).collections) == MANY + 1
            for number in range(MANY):
                name = f"c{number}"
                point = pb.Point(id="second", vector=VECTOR)
                wire.call("Upsert", pb.UpsertRequest(collection=name, points=[point]), credential)
                assert found(wire, credential, name) == ["first", "second"]
                if number % 20 == 0:
                    assert wire.call("Get", pb.GetRequest(collection=name, id="first"), credential).point.id == "first"
            assert descriptors(server) <= OPEN_FILES

            # Connections that do nothing take every descriptor that can be had.
            port = int(started["http"].rpartition(":")[2])
            idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
            try:
                for number in range(0, MANY, 8):
                    assert found(wire, credential, f"c{number}") == ["first", "second"]
            finally:
                for connection in idle:
                    connection.close()
            assert httpx2.get(f"{started['http']}/livez", timeout=20).status_code == 200
        assert server.terminate(60) == 0

    damaged = damage_one(data)
    with serve(data, open_files=OPEN_FILES) as server:
        started = json.loads(server.read_until('"serving"', 120))
        with Wire(started["grpc"]) as wire, httpx2.Client(base_url=started["http"], timeout=60) as http:
            admin = http.post("/api/v1/auth/login", json={"username": "admin", "password": "admin123"}).json()
            credential = admin["access_token"]
            whole = next(f"c{number}" for number in range(MANY) if f"c{number}" != damaged)
            assert found(wire, credential, whole) == ["first", "second"]
            # Nobody uses the damaged one: the check in the background finds it.
            deadline = time.monotonic() + 120
            while not http.get("/readyz").json()["quarantined"] and time.monotonic() < deadline:
                time.sleep(0.05)
            status = http.get("/api/v1/status", headers={"Authorization": f"Bearer {credential}"}).json()
            assert list(status["quarantined"]) == [damaged]
            assert descriptors(server) <= OPEN_FILES
        assert server.terminate(60) == 0
