# Generated from async_bulk.py by tools/unasync.py; do not edit.
"""Creating many tokens; synchronous."""

import os
from collections.abc import Callable, Iterator, Sized
from contextlib import closing
from functools import partial
from typing import Literal

from neurograph import bulk, calls
from neurograph.bulk import Batch, BulkResult, Encoded, FailedItem, Outcome
from neurograph.calls import NewToken
from neurograph.concurrency import Items, Job, apart, in_turn, iterating
from neurograph.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClientClosedError,
    NeuroGraphError,
    PayloadTooLargeError,
    ValidationError,
)
from neurograph.executor import Executor
from neurograph.journal import Journal, held
from neurograph.models import Token
from neurograph.progress import Progress, reporting
from neurograph.unset import UNSET, Timeout
from wirekit.batching import Batcher


class BulkCreate:
    """The part of `tokens` that creates many."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create_many(
        self,
        items: Items[NewToken],
        *,
        on_error: Literal["raise", "collect"] = "raise",
        progress: Progress = None,
        max_in_flight: int = 1,
        keep_tokens: bool = True,
        journal: str | os.PathLike[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> BulkResult:
        """Creates many tokens in few requests.

        The items are read as they are needed and sent in batches, cut by count, by bytes and by the limits of
        the server, and halved when it finds one too large. Each batch is written completely or not at all, and
        once, however often it has to be sent.

        Args:
            items: texts, dictionaries with `text` and optionally `metadata` and `embedding`, or TokenCreate
                models; any iterable, also an endless file. The synchronous client takes synchronous ones too.
            on_error: `raise` stops at the first error; `collect` goes on without the items at fault and returns
                them in `failed`. Refused credentials always stop.
            progress: a function of the items done and the items in all (None when unknown), or True for a bar
                on the terminal (needs rich).
            max_in_flight: requests under way at once. The synchronous client starts no threads and always has
                one.
            keep_tokens: False keeps only the ids of what was created, so that memory stays bounded.
            journal: path of a file that remembers what was sent. The same call with the same items and the same
                journal goes on where an earlier one ended, within a day also when its process was killed in the middle
                of a request; every item is created exactly once.
            timeout: seconds for each batch, its repeats included; else the client's.

        Returns:
            The tokens in the order of the items: a list that also knows `failed`, `failed_items` (to be passed
            again) and `created_ids`.

        Raises:
            ValidationError: an item is wrong; its batch was not written. `details["created_ids"]` of
                this and any other error lists the tokens created before it. Or the journal was begun with other items.
            ConfigurationError: the journal is in use, or cannot be used.

        >>> result = client.tokens.create_many(["one", "", "three"], on_error="collect")
        >>> [token.text for token in result], [failure.index for failure in result.failed]
        (['one', 'three'], [1])
        """
        bulk.refuse_one(items)
        record = None if journal is None else Journal(journal, self._executor.base_url)
        load = Load(self._executor, collect=on_error == "collect", journal=record, timeout=timeout)
        total = len(items) if isinstance(items, Sized) else None
        with held(record), reporting(progress, total, "creating tokens") as report:
            return load.run(items, max_in_flight, keep_tokens, report)


class Load:
    """One call of `create_many`."""

    def __init__(self, executor: Executor, *, collect: bool, journal: Journal | None, timeout: Timeout) -> None:
        self._executor = executor
        self._collect = collect
        self._journal = journal
        self._timeout = timeout
        self._result = BulkResult()
        self._refused: list[FailedItem] = []

    def run(self, items: Items[NewToken], at_once: int, keep: bool, report: Callable[[int], None]) -> BulkResult:
        """Creates the items, and gathers what became of them.

        Raises:
            NeuroGraphError: the first failure, unless failures are collected; tells what was created before it.
        """
        result, done = self._result, 0
        try:
            with closing(in_turn(self._jobs(items), at_once)) as outcomes:
                for outcome in outcomes:
                    result.failed += outcome.failed
                    result.resumed += outcome.resumed
                    if keep:
                        result += [token for _, token in outcome.created]
                    done += outcome.done
                    report(done + len(self._refused))
        except NeuroGraphError as error:
            error.details["created_ids"] = result.created_ids
            raise
        result.failed = sorted([*result.failed, *self._refused], key=lambda failure: failure.index)
        return result

    def _jobs(self, items: Items[NewToken]) -> Iterator[Job[Outcome]]:
        dialect = self._executor.dialect
        limits = {"max_count": calls.MAX_BATCH_COUNT, "max_bytes": calls.MAX_BATCH_BYTES}
        batcher = Batcher[Encoded](size=lambda each: each.size(dialect.frames), **limits)
        count = 0
        for item in iterating(items):
            each = self._encoded(item, count)
            plan = None if self._journal is None else self._journal.plan_of(count)
            count += 1
            if each is None and plan is not None:
                raise plan.mismatch()
            if each is None:
                continue
            if plan is None:
                batch = batcher.add(each)
                if batch is not None:
                    yield partial(self._settle, batch)
            elif plan.take(each):
                yield partial(self._resume, plan.items, plan.key, plan.ids)
        rest = batcher.flush()
        if rest is not None:
            yield partial(self._settle, rest)
        if self._journal is not None:
            self._journal.refuse_missing(count)

    def _encoded(self, item: NewToken, index: int) -> Encoded | None:
        """The item ready to be sent; None when it is no token and failures are collected."""
        pack_lists = self._journal is not None or self._executor.dialect.frames is True
        try:
            return bulk.encoded(item, index, pack_lists=pack_lists)
        except ValidationError as error:
            if not self._collect:
                raise
            self._refused.append(FailedItem(index, item, error))
            return None

    def _resume(self, batch: list[Encoded], key: str, ids: list[int] | None) -> Outcome:
        """Settles a batch that an earlier run has sent: nothing to do, or the same once more."""
        if ids is None:
            return self._settle(batch, key)
        self._result.created_ids += ids
        return Outcome(resumed=len(ids))

    def _settle(self, batch: list[Encoded], key: str | None = None) -> Outcome:
        """Sends a batch, in as many parts as it takes, until every item is created or has failed."""
        outcome = Outcome()
        waiting = [batch]
        if key is None:
            limits = None if bulk.is_small(batch) else self._executor.limits()
            waiting = bulk.recut(batch, limits, self._executor.dialect.frames)
        while waiting:
            part = waiting.pop(0)
            try:
                tokens = self._send(part, key)
            except PayloadTooLargeError as error:
                if len(part) > 1:
                    waiting[:0] = bulk.halves(part)
                else:
                    self._fail(outcome, part, error)
            except ValidationError as error:
                named = bulk.culprits(error, part)
                self._fail(outcome, [part[n] for n in sorted(named)] or part, error)
                rest = [each for n, each in enumerate(part) if n not in named]
                if named and rest:
                    waiting.insert(0, rest)
            except NeuroGraphError as error:
                self._fail(outcome, part, error)
            else:
                self._result.created_ids += [token.id for token in tokens]
                outcome.created += [(each.index, token) for each, token in zip(part, tokens, strict=True)]
            key = None
        outcome.created.sort(key=lambda created: created[0])
        return outcome

    def _send(self, part: list[Encoded], key: str | None) -> list[Token]:
        """Sends a part, under a key that the journal knows before and whose outcome it knows after."""
        if self._journal is None:
            return self._executor.run(calls.create_tokens(Batch(part)), self._timeout)
        name = apart(self._journal.plan, part) if key is None else key
        try:
            tokens = self._executor.run(calls.create_tokens(Batch(part), name), self._timeout)
        except NeuroGraphError as error:
            self._journal.failed(name, error)
            raise
        self._journal.done(name, [token.id for token in tokens])
        return tokens

    def _fail(self, outcome: Outcome, items: list[Encoded], error: NeuroGraphError) -> None:
        if not self._collect or isinstance(error, (AuthenticationError, AuthorizationError, ClientClosedError)):
            raise error
        outcome.failed += [FailedItem(each.index, each.item, error) for each in items]
