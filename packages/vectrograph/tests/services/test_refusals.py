"""Refusals of a busy server in the log: one line for many."""

import threading

import pytest
from structlog.testing import capture_logs

from vectrograph.services.refusals import Refusals


def test_many_refusals_of_a_moment_are_one_line_that_counts_them_and_later_ones_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[threading.Timer] = []

    class Timer(threading.Timer):
        def start(self) -> None:
            begun.append(self)

    monkeypatch.setattr("vectrograph.services.refusals.threading.Timer", Timer)
    counted = Refusals("http", 0.5)
    with capture_logs() as lines:
        for _ in range(300):
            counted.note()
        assert [(timer.interval, lines) for timer in begun] == [(0.5, [])]
        begun[0].function()
        assert lines == [
            {"event": "overloaded", "log_level": "warning", "transport": "http", "refused": 300, "seconds": 0.5}
        ]
        counted.note()
        begun[1].function()
    assert [line["refused"] for line in lines] == [300, 1]
