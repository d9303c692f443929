"""Feedback on search results in the control database."""

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import select

from vectrograph.control.clock import Clock
from vectrograph.control.database import Database
from vectrograph.control.models import FeedbackJudgement, FeedbackSession
from vectrograph.control.records import FeedbackItem, FeedbackRecord


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
        with self._database.write() as session:
            session.add(submission)
            session.flush()
            session.add_all(judgements)
        return feedback_id

    def get(self, feedback_id: str) -> FeedbackRecord | None:
        """One submission with its items in their order; None when there is none of that id."""
        with self._database.read() as session:
            submission = session.get(FeedbackSession, feedback_id)
            if submission is None:
                return None
            judgements = session.scalars(
                select(FeedbackJudgement)
                .where(FeedbackJudgement.feedback_id == feedback_id)
                .order_by(FeedbackJudgement.ordinal)
            )
            return FeedbackRecord(
                feedback_id=feedback_id,
                tenant=submission.tenant,
                collection=submission.collection,
                query=submission.query,
                user_id=submission.user_id,
                context=dict(submission.context),
                items=tuple(
                    FeedbackItem(
                        result_id=judgement.result_id,
                        relevance_score=judgement.relevance_score,
                        clicked=judgement.clicked,
                        position=judgement.position,
                        comment=judgement.comment,
                    )
                    for judgement in judgements
                ),
                created_at=submission.created_at,
            )
