"""A job: one subject, measured by a process of its own, which starts the server and plays its client."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.engine.jobs import without_paths

_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Job of one process.

    Attributes:
        subject: see `subjects.SUBJECTS`.
        directory: for the server's data; empty.
        cache: where the data sets are.
        rows: of the token table.
        points: of 768 components that clients upsert.
        seconds: of each timed run.
        batch: rows of an upsert.
    """

    subject: str
    directory: Path
    cache: Path
    rows: int
    points: int
    seconds: float
    batch: int = 256

    def to_json(self) -> str:
        """Return the job as JSON text."""
        names = self.__dataclass_fields__
        return json.dumps({name: getattr(self, name) for name in names}, default=str)

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Return the job back from JSON text.

        >>> job = Job(subject="chroma", directory=Path("d"), cache=Path("c"), rows=9, points=9, seconds=1.0)
        >>> Job.from_json(job.to_json()) == job
        True
        """
        plain = json.loads(text)
        return cls(**{**plain, "directory": Path(plain["directory"]), "cache": Path(plain["cache"])})


def run(job: Job, timeout: float) -> dict[str, Any]:
    """Start a process for a job and wait for it.

    Returns:
        What it measured, or `{"error": …}` when it failed or took longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "job.json", Path(folder) / "result.json"
        asked.write_text(job.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.server.worker", str(asked), str(answered)]
        with (Path(folder) / "output").open("w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                command, cwd=_ROOT, env={**os.environ}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                # The worker ends its server when it is told to stop.
                process.terminate()
                process.wait()
                return {"error": f"not done after {timeout:.0f} s"}
            if answered.exists():
                result: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
                return result
            output.seek(0)
            lines = output.read().strip().splitlines() or ["no output"]
            return {"error": without_paths(f"process ended with {code}: {lines[-1]}")}
