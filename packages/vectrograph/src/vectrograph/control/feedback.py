"""Feedback on search results in the control database."""

import builtins
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import FeedbackJudgement, FeedbackSession
from vectrograph.control.database.reserved_space import RESERVE_PAGES
from vectrograph.control.records import FeedbackItem, FeedbackRecord
from vectrograph.domain.errors import QuotaExceeded
from vectrograph.domain.quotas import Quotas

# What SQLite takes for the rows themselves, their keys and indexes, rounded up; counted besides the texts.
_SUBMISSION_BYTES: Final = 512
# The same for each judged result.
_ITEM_BYTES: Final = 128


class FeedbackLog:
    """Judgements of search hits, as they were submitted, as many bytes of them as the quotas allow."""

    def __init__(self, database: Database, clock: Clock, quotas: Quotas) -> None:
        self._database = database
        self._clock = clock
        self._quotas = quotas
        # Of all accounts, or more: what was removed since is noticed when the sum would be too large.
        self._total: int | None = None

    def create(
        self,
        *,
        tenant: str,
        collection: str,
        query: str,
        user_id: str,
        context: Mapping[str, str],
        items: Sequence[FeedbackItem],
    ) -> str:
        """Store one submission whole.

        Returns:
            Its id, a random UUID.

        Raises:
            QuotaExceeded: the account, or all together, would have more feedback than is kept.
        """
        feedback_id = str(uuid.uuid4())
        submission = FeedbackSession(
            feedback_id=feedback_id,
            tenant=tenant,
            collection=collection,
            query=query,
            user_id=user_id,
            context=dict(context),
            created_at=self._clock(),
            size=_size(query, context, items),
        )
        judgements = [
            FeedbackJudgement(
                feedback_id=feedback_id,
                ordinal=ordinal,
                result_id=item.result_id,
                relevance_score=item.relevance_score,
                clicked=item.clicked,
                position=item.position,
                comment=item.comment,
            )
            for ordinal, item in enumerate(items)
        ]
        with self._database.write(leaving=RESERVE_PAGES, routine=True) as session:
            self._require_room(session, user_id, submission.size)
            session.add(submission)
            session.flush()
            session.add_all(judgements)
        return feedback_id

    def _require_room(self, session: Session, user_id: str, size: int) -> None:
        """Go on when the account and the server have room for `size` more bytes."""
        own = _stored(session, FeedbackSession.user_id == user_id)
        limit = self._quotas.max_feedback_bytes
        if own + size > limit:
            raise QuotaExceeded(
                f"This account has {own} bytes of feedback, this adds {size}, and max_feedback_bytes is "
                f"{limit}; dropping a collection deletes its feedback.",
                details={"limit": limit, "unit": "bytes", "used": own},
            )
        limit = self._quotas.max_feedback_total_bytes
        if self._total is None or self._database.shared or self._total + size > limit:
            self._total = _stored(session)
        if self._total + size > limit:
            raise QuotaExceeded(
                f"The server stores no more feedback: all accounts together have {self._total} bytes, and "
                f"max_feedback_total_bytes is {limit}; ask the operator.",
                details={"limit": limit, "unit": "bytes"},
            )
        self._total += size

    def get(self, feedback_id: str) -> FeedbackRecord | None:
        """Return one submission with its items in their order; None when there is none of that id."""
        with self._database.read() as session:
            submission = session.get(FeedbackSession, feedback_id)
            return None if submission is None else _records(session, [submission])[0]

    def list(
        self,
        tenant: str,
        collection: str,
        query: str | None = None,
        *,
        before: tuple[int, str] | None = None,
        limit: int = 100,
    ) -> builtins.list[FeedbackRecord]:
        """Return submissions on a collection, newest first.

        Args:
            tenant, collection: whose, on what.
            query: only those on exactly this query text.
            before: time and id of a submission; only those that come after it in the list.
            limit: how many at most.
        """
        at, name = FeedbackSession.created_at, FeedbackSession.feedback_id
        wanted = select(FeedbackSession).where(
            FeedbackSession.tenant == tenant, FeedbackSession.collection == collection
        )
        if query is not None:
            wanted = wanted.where(FeedbackSession.query == query)
        if before is not None:
            wanted = wanted.where(or_(at < before[0], and_(at == before[0], name < before[1])))
        with self._database.read() as session:
            return _records(session, session.scalars(wanted.order_by(at.desc(), name.desc()).limit(limit)).all())

    def relevance(
        self, tenant: str, collection: str, query: str, results: Sequence[str], *, limit: int = 10_000
    ) -> builtins.list[tuple[str, int]]:
        """Return id and relevance score of the newest judgements of some results of one query text, `limit` at most."""
        wanted = (
            select(FeedbackJudgement.result_id, FeedbackJudgement.relevance_score)
            .join(FeedbackSession, FeedbackSession.feedback_id == FeedbackJudgement.feedback_id)
            .where(
                FeedbackSession.tenant == tenant,
                FeedbackSession.collection == collection,
                FeedbackSession.query == query,
                FeedbackJudgement.result_id.in_(results),
            )
            .order_by(FeedbackSession.created_at.desc())
            .limit(limit)
        )
        with self._database.read() as session:
            return [(result, score) for result, score in session.execute(wanted)]


def _size(query: str, context: Mapping[str, str], items: Sequence[FeedbackItem]) -> int:
    """Return how many bytes of disk a submission takes, about."""
    texts = sum(len(item.result_id.encode()) + len(item.comment.encode()) for item in items)
    return _SUBMISSION_BYTES + len(query.encode()) + len(json.dumps(dict(context))) + len(items) * _ITEM_BYTES + texts


def _stored(session: Session, *which: ColumnElement[bool]) -> int:
    """Return the bytes of the submissions that meet the conditions, from an index."""
    return int(session.scalar(select(func.coalesce(func.sum(FeedbackSession.size), 0)).where(*which)) or 0)


def _records(session: Session, submissions: Sequence[FeedbackSession]) -> list[FeedbackRecord]:
    """Return submissions with their items."""
    items: dict[str, list[FeedbackItem]] = {submission.feedback_id: [] for submission in submissions}
    judgements = session.scalars(
        select(FeedbackJudgement)
        .where(FeedbackJudgement.feedback_id.in_(items))
        .order_by(FeedbackJudgement.feedback_id, FeedbackJudgement.ordinal)
    )
    for judgement in judgements:
        items[judgement.feedback_id].append(
            FeedbackItem(
                result_id=judgement.result_id,
                relevance_score=judgement.relevance_score,
                clicked=judgement.clicked,
                position=judgement.position,
                comment=judgement.comment,
            )
        )
    return [
        FeedbackRecord(
            feedback_id=submission.feedback_id,
            tenant=submission.tenant,
            collection=submission.collection,
            query=submission.query,
            user_id=submission.user_id,
            context=dict(submission.context),
            items=tuple(items[submission.feedback_id]),
            created_at=submission.created_at,
        )
        for submission in submissions
    ]
