"""kill -9 of a writing process: what was acknowledged is there, what was not is there whole or not at all."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vectrograph.domain.filters import Range
from vectrograph.domain.values import (
    CollectionRef,
    CollectionSpec,
    Delete,
    DeleteWhere,
    Distance,
    MaintenanceTask,
    Op,
    Patch,
    Put,
)
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.subject import everything, found
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.reference import ReferenceEngine

DOCS = CollectionRef("default", "docs")
STEP = "step"
ROUNDS = 8


def batch(seed: int, step: int) -> list[Op]:
    """The operations of one step, the same in the writer and in the model; the last names the step."""
    chance = random.Random(seed * 1_000_003 + step)
    ops: list[Op] = []
    for _ in range(chance.randrange(1, 60)):
        name = f"p{chance.randrange(300)}"
        at = np.array([chance.random(), chance.random(), step % 7, 0], np.float32)
        match chance.randrange(8):
            case 0:
                ops.append(Delete(id=name))
            case 1:
                ops.append(Patch(id=name, payload={"n": chance.randrange(100)}, text=f"patched {step}"))
            case _:
                payload = {"n": chance.randrange(100), "fill": "x" * chance.randrange(400)}
                ops.append(Put(id=name, vector=at, payload=payload, text=f"text {step}"))
    if chance.random() < 0.2:
        ops.append(DeleteWhere(filter=Range(("n",), lt=chance.randrange(5))))
    return [*ops, Put(id=STEP, vector=np.zeros(4, np.float32), payload={"n": 50, "step": step})]


def side(step: int) -> CollectionRef:
    """A collection that is made or dropped around this step."""
    return CollectionRef("default", f"side {step // 10 % 3}")


def advance(engine: Engine, seed: int, step: int) -> None:
    """Do one step: now and then a collection comes or goes, always a batch is written."""
    if step % 10 == 3:
        engine.create(CollectionSpec.dense(side(step), 2, Distance.DOT))
    if step % 10 == 8:
        engine.drop(side(step))
    engine.write(DOCS, batch(seed, step))


def write_forever(directory: str, seed: int, first: int) -> None:
    """The child: one step after another, each told to the parent once it is acknowledged."""
    from vectrograph.engines.embedded import store

    vars(store)["_CHECKPOINT_PAGES"] = 40
    engine = EmbeddedEngine.open(directory)
    step = first
    while True:
        advance(engine, seed, step)
        os.write(1, b"%d\n" % step)
        step += 1


def run_and_kill(directory: Path, seed: int, first: int, delay: float) -> int:
    """Let a child write and kill it some seconds after its first acknowledgement; the last step it acknowledged."""
    code = f"import runpy; runpy.run_path({__file__!r})['write_forever']({str(directory)!r}, {seed}, {first})"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    line = child.stdout.readline()
    killer = threading.Timer(delay, child.kill)
    killer.start()
    last = line
    while line := child.stdout.readline():
        last = line if line.endswith(b"\n") else last
    killer.join()
    _, complaint = child.communicate()
    assert last, complaint.decode()
    return int(last)


def state(engine: Engine) -> list[Any]:
    """Everything that can be seen of the points."""
    return [
        (p.id, None if p.vector is None else p.vector.tobytes(), p.payload, p.text, p.version, p.created_seq)
        for p in everything(engine, DOCS, limit=1000)
    ]


@pytest.mark.slow
def test_kill_minus_nine(tmp_path: Path) -> None:
    seed = int(os.environ.get("VECTROGRAPH_CRASH_SEED", random.SystemRandom().randrange(10**6)))
    print(f"VECTROGRAPH_CRASH_SEED={seed}")
    chance = random.Random(seed)
    directory = tmp_path / "data"
    engine: Engine = EmbeddedEngine.open(directory)
    model = ReferenceEngine()
    for each in (engine, model):
        each.create(CollectionSpec.dense(DOCS, 4, Distance.EUCLIDEAN))
    engine.close()
    done = 0
    for _ in range(ROUNDS):
        acknowledged = run_and_kill(directory, seed, done + 1, chance.random() * 0.4)
        engine = EmbeddedEngine.open(directory)
        point = engine.get(DOCS, [STEP])[0]
        assert point is not None
        assert point.payload is not None
        found_step = point.payload["step"]
        # At most the one that was under way when the process died may be there unacknowledged, and then whole.
        assert found_step in (acknowledged, acknowledged + 1)
        for step in range(done + 1, found_step + 1):
            advance(model, seed, step)
        done = found_step
        assert state(engine) == state(model)
        assert engine.describe(DOCS).seq == model.describe(DOCS).seq
        assert engine.count(DOCS) == model.count(DOCS)
        query = [chance.random() for _ in range(4)]
        assert found(engine, DOCS, query, 50) == found(model, DOCS, query, 50)
        assert engine.maintain(MaintenanceTask.VERIFY).healthy
        settle_side_collections(engine, model, done + 1)
        engine.close()


def settle_side_collections(engine: Engine, model: Engine, next_step: int) -> None:
    """The making or dropping that was under way is done or not; bring both sides to before it."""
    names = {info.spec.ref for info in engine.list("default")}
    wanted = {info.spec.ref for info in model.list("default")}
    assert names ^ wanted <= {side(next_step)}
    for ref in names - wanted:
        assert next_step % 10 == 3
        engine.drop(ref)
    for ref in wanted - names:
        assert next_step % 10 == 8
        engine.create(CollectionSpec.dense(ref, 2, Distance.DOT))


def test_a_killed_holder_frees_the_directory(tmp_path: Path) -> None:
    EmbeddedEngine.open(tmp_path / "data").close()
    code = (
        "import sys, time; from vectrograph.engines.embedded import EmbeddedEngine;"
        f"engine = EmbeddedEngine.open({str(tmp_path / 'data')!r}); print('open', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    child.kill()
    child.wait()
    child.stdout.close()
    started = time.monotonic()
    EmbeddedEngine.open(tmp_path / "data").close()
    assert time.monotonic() - started < 5.0
