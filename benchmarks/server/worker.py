"""The process of one job: `python -m benchmarks.server.worker JOB.json RESULT.json`, started by `jobs.run`."""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from benchmarks.engine.jobs import without_paths
from benchmarks.server.jobs import Job
from benchmarks.server.subjects import measure


def main(arguments: list[str]) -> None:
    """Measure one job and write the result; a failure is a result too, and is also told on standard error."""
    signal.signal(signal.SIGTERM, _stop)
    job = Job.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
    result: dict[str, Any]
    try:
        result = measure(job)
    except Exception as error:  # noqa: BLE001 - whatever a peer throws belongs in the table, under its name
        traceback.print_exc()
        result = {"error": without_paths(f"{type(error).__name__}: {error}")}
    Path(arguments[1]).write_text(json.dumps(result), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    # Clients leave threads behind that may hang an interpreter's exit; everything is written.
    os._exit(0)


def _stop(*_: object) -> None:
    raise SystemExit("stopped")


if __name__ == "__main__":
    main(sys.argv[1:])
