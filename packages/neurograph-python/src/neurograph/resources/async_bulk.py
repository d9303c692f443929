"""Creating many tokens; asynchronous."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import aclosing
from functools import partial
from typing import Literal

from neurograph import bulk, calls
from neurograph.async_executor import AsyncExecutor
from neurograph.bulk import BulkResult, Encoded, FailedItem, Outcome
from neurograph.calls import NewToken
from neurograph.concurrency import AsyncJob, async_in_turn
from neurograph.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClientClosedError,
    NeuroGraphError,
    PayloadTooLargeError,
    ValidationError,
)
from neurograph.models import Token
from neurograph.progress import Progress, reporting
from wirekit.batching import batches


class AsyncBulkCreate:
    """The part of `tokens` that creates many."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def create_many(
        self,
        items: Iterable[NewToken],
        *,
        on_error: Literal["raise", "collect"] = "raise",
        progress: Progress = None,
        max_in_flight: int = 1,
        keep_tokens: bool = True,
    ) -> BulkResult:
        """Creates many tokens in few requests.

        The items are read as they are needed and sent in batches, cut by count, by bytes and by the limits of
        the server, and halved when it finds one too large. Each batch is written completely or not at all, and
        once, however often it has to be sent.

        Args:
            items: texts, dictionaries with `text` and optionally `metadata` and `embedding`, or TokenCreate
                models; any iterable, also an endless file.
            on_error: `raise` stops at the first error; `collect` goes on without the items at fault and returns
                them in `failed`. Refused credentials always stop.
            progress: a function of the items done and the items in all (None when unknown), or True for a bar
                on the terminal (needs rich).
            max_in_flight: requests under way at once. The synchronous client starts no threads and always has
                one.
            keep_tokens: False keeps only the ids of what was created, so that memory stays bounded.

        Returns:
            The tokens in the order of the items: a list that also knows `failed`, `failed_items` (to be passed
            again) and `created_ids`.

        Raises:
            ValidationError: an item is wrong; its batch was not written. `details["created_ids"]` of
                this and any other error lists the tokens created before it.
        """
        refused: list[FailedItem] | None = [] if on_error == "collect" else None
        result = BulkResult()
        jobs = self._jobs(bulk.encode_items(items, refused), result, refused)
        total = len(items) if isinstance(items, Sized) else None
        try:
            with reporting(progress, total, "creating tokens") as report:
                await self._run(
                    jobs, result, max_in_flight, keep_tokens, lambda done: report(done + len(refused or ()))
                )
        except NeuroGraphError as error:
            error.details["created_ids"] = result.created_ids
            raise
        result.failed = sorted([*result.failed, *(refused or ())], key=lambda failure: failure.index)
        return result

    async def _run(
        self,
        jobs: Iterator[AsyncJob[Outcome]],
        result: BulkResult,
        at_once: int,
        keep: bool,
        report: Callable[[int], None],
    ) -> None:
        """Runs the jobs, and gathers what became of them in the result."""
        done = 0
        async with aclosing(async_in_turn(jobs, at_once)) as outcomes:
            async for outcome in outcomes:
                result.failed += outcome.failed
                if keep:
                    result += [token for _, token in outcome.created]
                done += outcome.done
                report(done)

    def _jobs(
        self, encoded: Iterator[Encoded], result: BulkResult, refused: list[FailedItem] | None
    ) -> Iterator[AsyncJob[Outcome]]:
        limits = {"max_count": calls.MAX_BATCH_COUNT, "max_bytes": calls.MAX_BATCH_BYTES}
        for batch in batches(encoded, size=_size, **limits):
            yield partial(self._settle, batch, result, refused is not None)

    async def _settle(self, batch: list[Encoded], result: BulkResult, collect: bool) -> Outcome:
        """Sends a batch, in as many parts as it takes, until every item is created or has failed."""
        outcome = Outcome()
        limits = None if bulk.is_small(batch) else await self._executor.limits()
        waiting = bulk.recut(batch, limits)
        while waiting:
            part = waiting.pop(0)
            try:
                tokens = await self._executor.run(calls.create_tokens([each.body for each in part]))
            except PayloadTooLargeError as error:
                if len(part) > 1:
                    waiting[:0] = bulk.halves(part)
                    continue
                _fail(outcome, part, error, collect)
            except ValidationError as error:
                named = bulk.culprits(error, part)
                _fail(outcome, [part[n] for n in sorted(named)] or part, error, collect)
                rest = [each for n, each in enumerate(part) if n not in named]
                if named and rest:
                    waiting.insert(0, rest)
            except NeuroGraphError as error:
                _fail(outcome, part, error, collect)
            else:
                _succeed(outcome, part, tokens, result)
        outcome.created.sort(key=lambda created: created[0])
        return outcome


def _size(each: Encoded) -> int:
    return len(each.body)


def _fail(outcome: Outcome, items: list[Encoded], error: NeuroGraphError, collect: bool) -> None:
    if not collect or isinstance(error, (AuthenticationError, AuthorizationError, ClientClosedError)):
        raise error
    outcome.failed += [FailedItem(each.index, each.item, error) for each in items]


def _succeed(outcome: Outcome, part: list[Encoded], tokens: list[Token], result: BulkResult) -> None:
    result.created_ids += [token.id for token in tokens]
    outcome.created += [(each.index, token) for each, token in zip(part, tokens, strict=True)]
