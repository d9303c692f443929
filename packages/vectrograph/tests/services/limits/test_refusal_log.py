"""RefusalLog of a busy server in the log: one line for many."""

import threading
from typing import Any

import pytest

from vectrograph.services.limits.refusal_log import RefusalLog


def test_many_refusals_of_a_moment_are_one_line_that_counts_them_and_later_ones_another(
    monkeypatch: pytest.MonkeyPatch, log_lines: list[Any]
) -> None:
    begun: list[threading.Timer] = []

    class Timer(threading.Timer):
        def start(self) -> None:
            begun.append(self)

    monkeypatch.setattr("vectrograph.services.limits.refusal_log.threading.Timer", Timer)
    counted = RefusalLog("http", 0.5)
    for _ in range(300):
        counted.note()
    assert [(timer.interval, log_lines) for timer in begun] == [(0.5, [])]
    begun[0].function()
    assert log_lines == [
        {"event": "overloaded", "log_level": "warning", "transport": "http", "refused": 300, "seconds": 0.5}
    ]
    counted.note()
    begun[1].function()
    assert [line["refused"] for line in log_lines] == [300, 1]
