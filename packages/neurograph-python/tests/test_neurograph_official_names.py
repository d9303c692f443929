"""Names that users of the official package import."""

import asyncio
import io
import logging

import pytest

import neurograph
from neurograph import (
    ConfigurationError,
    RateLimitError,
    RetryConfig,
    async_retry_with_backoff,
    enable_debug_logging,
    get_logger,
    retry_with_backoff,
    setup_logging,
)
from neurograph.testing import mock_api_key


def failing(times: int, error: Exception) -> tuple[list[int], object]:
    calls: list[int] = []

    def ask() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "answer"

    return calls, ask


# FINDINGS A5
def test_a_function_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("neurograph._retry_decorators.sleep", pauses.append)
    calls, ask = failing(2, RateLimitError("later", retry_after=3.0))
    assert retry_with_backoff(RetryConfig(jitter=False, initial_delay=1))(ask)() == "answer"  # type: ignore[arg-type]
    assert (len(calls), pauses) == (3, [4.0, 5.0])


# FINDINGS A5
def test_what_cannot_pass_is_raised_at_once() -> None:
    calls, ask = failing(1, neurograph.NotFoundError("no"))
    with pytest.raises(neurograph.NotFoundError):
        retry_with_backoff()(ask)()  # type: ignore[arg-type]
    assert len(calls) == 1


# FINDINGS A5
def test_a_coroutine_function_is_repeated() -> None:
    calls: list[int] = []

    @async_retry_with_backoff(RetryConfig(max_retries=1, initial_delay=0))
    async def ask(answer: str) -> str:
        calls.append(1)
        if len(calls) == 1:
            raise neurograph.ConnectionError("broke")
        return answer

    async def awaited() -> str:
        return await ask("answer")

    assert asyncio.run(awaited()) == "answer"
    assert len(calls) == 2


# FINDINGS A5
@pytest.mark.parametrize("name", ["max_retries", "initial_delay", "max_delay", "exponential_base", "jitter"])
def test_a_wrong_value_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RetryConfig(**{name: "x"})  # type: ignore[arg-type]


# FINDINGS A5
def test_logging_is_set_up_once() -> None:
    logger, out = get_logger(), io.StringIO()
    before, level = list(logger.handlers), logger.level
    try:
        enable_debug_logging()
        setup_logging("info", "%(message)s!", logging.StreamHandler(out))
        get_logger("part").info("seen")
        get_logger("part").debug("not seen")
        assert out.getvalue() == "seen!\n"
        assert len(logger.handlers) == len(before) + 1
    finally:
        logger.handlers[:] = before
        logger.setLevel(level)


# FINDINGS A5
def test_the_secret_of_a_mock_key_is_text() -> None:
    assert isinstance(mock_api_key().model_dump()["api_key"], str)
