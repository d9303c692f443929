"""The process of one job: `python -m benchmarks.engine.worker JOB.json RESULT.json`, started by `jobs.run`."""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from benchmarks.engine.jobs import Job, without_paths


def main(arguments: list[str]) -> int:
    """Measure one job and write the result; a failure is a result too, and is also told on standard error."""
    job = Job.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
    confine(job.threads)
    try:
        result = _measure(job)
    except Exception as error:  # noqa: BLE001 - whatever an engine throws belongs in the table, under its name
        traceback.print_exc()
        result = {"error": without_paths(f"{type(error).__name__}: {error}")}
    Path(arguments[1]).write_text(json.dumps(result), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    # Engines leave threads behind that may hang an interpreter's exit; everything is written.
    os._exit(0)


def confine(threads: int) -> None:
    """Keep this process and the threads it starts later on as many cores as it may use threads, if possible."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-threads:])


def _measure(job: Job) -> dict[str, Any]:
    from benchmarks.engine.figures import FIGURES

    return FIGURES[job.figure](job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
