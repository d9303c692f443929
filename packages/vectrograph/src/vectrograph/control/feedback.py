"""Feedback on search results in the control database."""

import builtins
import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from vectrograph.control.clock import Clock
from vectrograph.control.database import Database
from vectrograph.control.models import FeedbackJudgement, FeedbackSession
from vectrograph.control.records import FeedbackItem, FeedbackRecord
from vectrograph.control.reserve import RESERVE_PAGES


class FeedbackLog:
    """Judgements of search hits, as they were submitted."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

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
            session.add(submission)
            session.flush()
            session.add_all(judgements)
        return feedback_id

    def get(self, feedback_id: str) -> FeedbackRecord | None:
        """One submission with its items in their order; None when there is none of that id."""
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
        """Submissions on a collection, newest first.

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
        """Id and relevance score of the newest judgements of some results of one query text, `limit` at most."""
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


def _records(session: Session, submissions: Sequence[FeedbackSession]) -> list[FeedbackRecord]:
    """Submissions with their items."""
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
