"""A job: one figure of one subject, measured in a process of its own. It travels as JSON."""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.engine.datasets import Cell

_ROOT: Final = Path(__file__).resolve().parents[2]
_ABSOLUTE_PATH: Final = re.compile(r"(?<![\w.])/(?:[\w.+@-]+/)*[\w.+@-]+")
_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "LANCE_CPU_THREADS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Effort asked of every subject alike.

    queries: in a set that recall is measured on. seconds: each timed run. recall_seconds: after which a pass over the
    queries stops, once it has answered at least `least_queries`. max_breadth: where the sweep gives up.
    """

    queries: int = 500
    seconds: float = 2.0
    recall_seconds: float = 8.0
    least_queries: int = 50
    max_breadth: int = 2_048
    batch: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Job of one process. `options` are the figure's own, `hints` are settings that an earlier round found good
    enough.
    """

    figure: str
    subject: str
    cell: Cell
    directory: str
    cache: str
    threads: int
    filterable: bool = False
    budget: Budget = Budget()
    options: dict[str, Any] = field(default_factory=dict)
    hints: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the job as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Return the job back from JSON text.

        >>> cell = Cell("tokens", 9, "dot")
        >>> job = Job(figure="search", subject="zvec", cell=cell, directory="d", cache="c", threads=1)
        >>> Job.from_json(job.to_json()) == job
        True
        """
        plain = json.loads(text)
        return replace(cls(**plain), cell=Cell(**plain["cell"]), budget=Budget(**plain["budget"]))


def run(job: Job, timeout: float) -> dict[str, Any]:
    """Start a process for a job and wait for it.

    Returns:
        What it measured, or `{"error": …}` when it failed or took longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "job.json", Path(folder) / "result.json"
        asked.write_text(job.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.engine.worker", str(asked), str(answered)]
        environment = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(job.threads))
        with (Path(folder) / "output").open("w+", encoding="utf-8", errors="replace") as output:
            try:
                code = subprocess.run(
                    command,
                    cwd=_ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                return {"error": f"not done after {timeout:.0f} s"}
            if answered.exists():
                result: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
                return result
            output.seek(0)
            lines = output.read().strip().splitlines() or ["no output"]
            return {"error": without_paths(f"process ended with {code}: {lines[-1]}")}


def without_paths(text: str) -> str:
    """Return the text with every absolute path taken out, cut to a line of 300 characters: results are published.

    >>> without_paths("cannot open /home/me/db/x.bin: disk full")
    'cannot open <path>: disk full'
    """
    return _ABSOLUTE_PATH.sub("<path>", text).replace("\n", " ")[:300]
