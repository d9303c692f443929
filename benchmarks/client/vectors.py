"""Figure `vectors`: many vectors up and down, from a numpy matrix to a numpy matrix, in the client's processor time."""

import gc
import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks.client.serving import served
from benchmarks.client.subjects import module_of
from benchmarks.client.subjects.base import made


def measure(subjects: list[str], count: int, dimension: int, rounds: int) -> list[dict[str, Any]]:
    """Return processor seconds of each client, each round in a process of its own, the clients taking turns.

    Args:
        subjects: names.
        count: vectors.
        dimension: components of each.
        rounds: whose median counts.

    Returns:
        A row for `up` and for `down`: `direction`, and `cpu` and `wall`, medians in seconds by subject.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in subjects}
    for turn in range(rounds):
        for place in range(len(subjects)):
            name = subjects[(place + turn) % len(subjects)]
            found[name].append(_in_process(name, count, dimension))
    return [
        {
            "direction": direction,
            **{
                kind: {name: median(each[direction][kind] for each in rounds_) for name, rounds_ in found.items()}
                for kind in ("cpu", "wall")
            },
        }
        for direction in ("up", "down")
    ]


def _in_process(name: str, count: int, dimension: int) -> dict[str, Any]:
    with served(name, count, dimension) as address:
        command = [sys.executable, "-m", "benchmarks.client.vectors", name, address, str(count), str(dimension)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def one(name: str, address: str, count: int, dimension: int) -> dict[str, Any]:
    """Move the vectors there and back with one client, in this process.

    Raises:
        RuntimeError: what came back is not what was sent.
    """
    vectors = made(count, dimension)
    client = module_of(name).client(name, address)
    try:
        # Connections and imports are not what is measured: a few vectors go there and back first.
        few = vectors[: min(count, 10)]
        for way in client.ways():
            client.up(few, way)
        client.down(len(few))
        gc.collect()  # what importing has left behind is nobody's cost of moving vectors
        up = min((_timed_up(client, vectors, way) for way in client.ways()), key=lambda taken: taken["cpu"])
        cpu, wall = time.process_time(), time.perf_counter()
        back = client.down(count)
        down = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    finally:
        client.close()
    if back.dtype != np.float32 or back.shape != vectors.shape or not np.allclose(back, vectors, atol=1e-6):
        raise RuntimeError(f"{name} gave back other vectors than were sent")
    return {"up": up, "down": down}


def _timed_up(client: Any, vectors: Any, way: str) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    sent = client.up(vectors, way)
    taken = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "way": way}
    if sent != len(vectors):
        raise RuntimeError(f"only {sent} of {len(vectors)} vectors were taken")
    return taken


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
