# Generated from async_load.py by tools/unasync.py; do not edit.
"""One load of many tokens, from its items to what became of them; synchronous."""

import os
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import closing
from functools import partial

from neurograph._arguments import Timeout
from neurograph._bulk import batches, results
from neurograph._bulk.batches import Batch
from neurograph._bulk.columns import Columns, Cutter
from neurograph._bulk.items import Encoded, encoded
from neurograph._bulk.journal import Journal, Plan, held
from neurograph._bulk.progress import Progress, reporting
from neurograph._bulk.results import BulkResult, FailedItem, Outcome
from neurograph._concurrency import Items, Job, apart, in_turn, iterating
from neurograph._execution.executor import Executor
from neurograph._protocol import operations
from neurograph._protocol.operations import NewToken
from neurograph.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClientClosedError,
    NeuroGraphError,
    PayloadTooLargeError,
    ValidationError,
)
from neurograph.models import Token


def load(
    executor: Executor,
    items: Items[NewToken],
    *,
    collect: bool,
    progress: Progress,
    max_in_flight: int,
    keep: bool,
    journal: str | os.PathLike[str] | None,
    timeout: Timeout,
) -> BulkResult:
    """Do the work of `create_many`; arguments, result and errors as there."""
    results.refuse_one(items)
    record = None if journal is None else Journal(journal, executor.base_url)
    load = Load(executor, collect=collect, keep=keep, journal=record, timeout=timeout)
    total = len(items) if isinstance(items, Sized) else None
    with held(record), reporting(progress, total, "creating tokens") as report:
        return load.run(items, max_in_flight, report)


class Load:
    """One call of `create_many`."""

    def __init__(
        self, executor: Executor, *, collect: bool, keep: bool, journal: Journal | None, timeout: Timeout
    ) -> None:
        self._executor = executor
        self._collect = collect
        self._keep = keep
        self._journal = journal
        self._timeout = timeout
        self._result = BulkResult()
        self._refused: list[FailedItem] = []

    def run(self, items: Items[NewToken], at_once: int, report: Callable[[int], None]) -> BulkResult:
        """Create the items, and gathers what became of them.

        Raises:
            NeuroGraphError: the first failure, unless failures are collected; tells what was created before it.
        """
        result, done = self._result, 0
        try:
            with closing(in_turn(self._jobs(items), at_once)) as outcomes:
                for outcome in outcomes:
                    result.failed += outcome.failed
                    result.resumed += outcome.resumed
                    result += [token for _, token in outcome.created]
                    done += outcome.done
                    report(done + len(self._refused))
        except NeuroGraphError as error:
            error.details["created_ids"] = result.created_ids
            raise
        result.failed = sorted([*result.failed, *self._refused], key=lambda failure: failure.index)
        return result

    def _jobs(self, items: Items[NewToken]) -> Iterator[Job[Outcome]]:
        cutter = Cutter(self._executor.dialect)
        count = 0
        for item in iterating(items):
            plan = None if self._journal is None else self._journal.plan_of(count)
            if plan is None:
                batch = self._taken(cutter, item, count)
                if batch:
                    yield partial(self._settle, batch)
            elif plan.take(_as_planned(plan, item, count)):
                yield partial(self._resume, plan.items, plan.key, plan.ids)
            count += 1
        rest = self._sound(cutter.flush())
        if rest:
            yield partial(self._settle, rest)
        if self._journal is not None:
            self._journal.refuse_missing(count)

    def _taken(self, cutter: Cutter, item: NewToken, index: int) -> Sequence[Encoded] | None:
        """Take an item; returns the batch that it completed, if there is one and something of it can be sent."""
        try:
            if self._journal is None:
                batch = cutter.take(item, index)
            else:
                batch = cutter.add(encoded(item, index, pack_lists=True))
        except ValidationError as error:
            self._refuse(FailedItem(index, item, error))
            return None
        return None if batch is None else self._sound(batch)

    def _sound(self, batch: Sequence[Encoded] | None) -> Sequence[Encoded] | None:
        """Return the part of a batch that can be sent; the rest is refused."""
        wrong = batch.unsound() if isinstance(batch, Columns) else {}
        if batch is None or not wrong:
            return batch
        for place, error in wrong.items():
            self._refuse(FailedItem(batch[place].index, batch[place].item, error))
        return [each for place, each in enumerate(batch) if place not in wrong]

    def _refuse(self, failed: FailedItem) -> None:
        """Remember an item that is not sent.

        Raises:
            NeuroGraphError: failures are not collected; this one.
        """
        if not self._collect:
            raise failed.error
        self._refused.append(failed)

    def _resume(self, batch: list[Encoded], key: str, ids: list[int] | None) -> Outcome:
        """Settle a batch that an earlier run has sent: nothing to do, or the same once more."""
        if ids is None:
            return self._settle(batch, key)
        self._result.created_ids += ids
        return Outcome(resumed=len(ids))

    def _settle(self, batch: Sequence[Encoded], key: str | None = None) -> Outcome:
        """Send a batch, in as many parts as it takes, until every item is created or has failed."""
        outcome = Outcome()
        waiting: list[Sequence[Encoded]] = [batch]
        if key is None:
            limits = None if batches.is_small(batch) else self._executor.limits()
            waiting = batches.recut(batch, limits, self._executor.dialect.frames)
        while waiting:
            part = waiting.pop(0)
            try:
                ids, tokens = self._send(part, key)
            except PayloadTooLargeError as error:
                if len(part) > 1:
                    waiting[:0] = batches.halves(part)
                else:
                    self._fail(outcome, part, error)
            except ValidationError as error:
                named = results.culprits(error, part)
                self._fail(outcome, [part[n] for n in sorted(named)] or part, error)
                rest = [each for n, each in enumerate(part) if n not in named]
                if named and rest:
                    waiting.insert(0, rest)
            except NeuroGraphError as error:
                self._fail(outcome, part, error)
            else:
                self._result.created_ids += ids
                outcome.bare += len(ids) - len(tokens)
                outcome.created += [(each.index, token) for each, token in zip(part, tokens, strict=self._keep)]
            key = None
        if isinstance(batch, Columns):
            batch.release()
        outcome.created.sort(key=lambda created: created[0])
        return outcome

    def _send(self, part: Sequence[Encoded], key: str | None) -> tuple[list[int], list[Token]]:
        """Send a part, under a key that the journal knows before and whose outcome it knows after.

        Returns:
            The ids of what was created, and the tokens, if they are wanted.
        """
        if self._journal is None:
            return self._create(Batch(part, bare=not self._keep), None)
        name = apart(self._journal.plan, part) if key is None else key
        try:
            ids, tokens = self._create(Batch(part), name)
        except NeuroGraphError as error:
            self._journal.failed(name, error)
            raise
        self._journal.done(name, ids)
        return ids, tokens

    def _create(self, batch: Batch, key: str | None) -> tuple[list[int], list[Token]]:
        if not self._keep:
            return self._executor.run(operations.create_token_ids(batch, key), self._timeout), []
        tokens = self._executor.run(operations.create_tokens(batch, key), self._timeout)
        return [token.id for token in tokens], tokens

    def _fail(self, outcome: Outcome, items: Sequence[Encoded], error: NeuroGraphError) -> None:
        if not self._collect or isinstance(error, (AuthenticationError, AuthorizationError, ClientClosedError)):
            raise error
        outcome.failed += [FailedItem(each.index, each.item, error) for each in items]


def _as_planned(plan: Plan, item: NewToken, index: int) -> Encoded:
    """Return an item that an earlier run has sent, encoded as then.

    Raises:
        ValidationError: it is no token, so it cannot be the same.
    """
    try:
        return encoded(item, index, pack_lists=True)
    except ValidationError as error:
        raise plan.mismatch() from error
