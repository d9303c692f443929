"""Gathered log lines: none lost, order kept, warnings at once, the last ones at the end of the process."""

import io
import subprocess
import sys
import threading
import time

from vectrograph.process.logs import GatheredLines


def test_lines_wait_a_moment_and_warnings_take_them_along() -> None:
    out = io.StringIO()
    lines = GatheredLines(out)
    lines.info("one")
    assert out.getvalue() == ""
    lines.warning("two")
    assert out.getvalue() == "one\ntwo\n"
    lines.info("three")
    deadline = time.monotonic() + 5
    while "three" not in out.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert out.getvalue() == "one\ntwo\nthree\n"


def test_no_line_of_many_threads_is_lost_or_torn() -> None:
    out = io.StringIO()
    lines = GatheredLines(out)

    def write(number: int) -> None:
        for n in range(2_000):
            (lines.error if n % 500 == 0 else lines.info)(f"{number} {n}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines.write()
    written = [tuple(map(int, line.split())) for line in out.getvalue().splitlines()]
    assert sorted(written) == [(number, n) for number in range(4) for n in range(2_000)]
    for number in range(4):
        assert [n for who, n in written if who == number] == list(range(2_000))


def test_a_process_that_ends_writes_what_it_gathered() -> None:
    program = (
        "import structlog, sys; from vectrograph.process.logs import configure; "
        "from vectrograph.settings import LogFormat, LogLevel; configure(LogLevel.INFO, LogFormat.JSON); "
        "structlog.get_logger().info('bye', path={1, 2})"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert '"event":"bye"' in ended.stderr
