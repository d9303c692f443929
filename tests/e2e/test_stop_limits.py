"""SIGTERM ends the process in time whatever hangs, and the log says what was given up on."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.processes import serve

SHUTDOWN_SECONDS: Final = 0.2
# Documented: five seconds more than `shutdown_seconds` at most. The rest is for a busy machine.
ENDS_WITHIN: Final = SHUTDOWN_SECONDS + 5 + 20

# A part of the server that never comes back, chosen by the first argument.
_PROGRAM: Final = """
import signal, sys, threading
from vectrograph import app
from vectrograph.cli import commands

def never(*_):
    print("never", flush=True)
    threading.Event().wait()

part, data = sys.argv[1:]
if part == "closing":
    app.EmbeddedEngine.close = app._HttpServer.join = never
elif part == "thread":
    joined = app._HttpServer.join
    app._HttpServer.join = lambda self: (joined(self), threading.Thread(target=never, daemon=False).start())
elif part == "start":
    app.bind = never
commands.app(["serve", "--data", data, "--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0",
    "--log-format", "json", "--shutdown-seconds", "0.2"])
"""


def _lines_until(process: subprocess.Popen[str], word: str) -> None:
    stream = process.stdout if word == "never" else process.stderr
    assert stream is not None
    assert any(word in line for line in stream), f"no line with {word}"


def test_whatever_hangs_the_process_ends_and_says_what_it_gave_up_on(tmp_path: Path) -> None:
    """FINDINGS B1: SIGTERM never ended."""
    given_up = '"gave_up_on": ["HTTP requests in flight", "storage engine"]'
    expected: dict[str, tuple[str, str]] = {
        "closing": ("stopped without waiting for all parts", given_up),
        "thread": ("ended by force", "Thread-"),
        "start": ("ended by force", "the start"),
    }
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    processes = {
        part: subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, part, str(tmp_path / part)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for part in expected
    }
    try:
        for part, process in processes.items():
            _lines_until(process, "never" if part == "start" else '"serving"')
        started = time.monotonic()
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for part, process in processes.items():
            output = process.communicate(timeout=60)[1]
            assert time.monotonic() - started < ENDS_WITHIN
            assert process.returncode == 1
            lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
            event, what = expected[part]
            assert any(event in line["event"] and what in json.dumps(line) for line in lines), (part, output)
            assert "Traceback" not in output
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the threads of a process")
def test_a_signal_that_another_thread_gets_ends_the_process(tmp_path: Path) -> None:
    """The kernel may give it to any thread. The main one slept on, and the server ran for ever."""
    libc = ctypes.CDLL(None, use_errno=True)
    with serve(tmp_path / "data") as server:
        server.serving()
        pid = server.process.pid
        others = [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid]
        assert libc.tgkill(pid, others[len(others) // 2], signal.SIGTERM) == 0
        assert server.process.wait(60) == 0
