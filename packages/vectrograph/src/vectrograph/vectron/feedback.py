"""Operations on judgements of search results."""

from vectrograph.control.records import FeedbackItem, FeedbackRecord
from vectrograph.vectron._messages import vectrograph, vectron
from vectrograph.vectron.invocation import Invocation, seconds


def submit_feedback(given: Invocation, request: vectron.SubmitFeedbackRequest) -> vectron.SubmitFeedbackResponse:
    """Store judgements of the hits of one query; answer their id."""
    items = [
        FeedbackItem(
            result_id=item.result_id,
            relevance_score=item.relevance_score,
            clicked=item.clicked,
            position=item.position,
            comment=item.comment,
        )
        for item in request.feedback_items
    ]
    feedback_id = given.services.feedback.submit(
        given.call, request.collection, request.query, items, dict(request.context)
    )
    return vectron.SubmitFeedbackResponse(success=True, feedback_id=feedback_id)


def list_feedback(given: Invocation, request: vectrograph.ListFeedbackRequest) -> vectrograph.ListFeedbackResponse:
    """Return one page of the feedback on a collection, newest first."""
    page = given.services.feedback.list(
        given.call,
        request.collection,
        query=request.query or None,
        limit=request.limit,
        cursor=request.cursor or None,
    )
    feedback = [feedback_of(record) for record in page.records]
    return vectrograph.ListFeedbackResponse(feedback=feedback, cursor=page.cursor or "")


def feedback_of(record: FeedbackRecord) -> vectrograph.Feedback:
    """Return the message of one submission."""
    items = [
        vectron.FeedbackItemResponse(
            result_id=item.result_id,
            relevance_score=item.relevance_score,
            clicked=item.clicked,
            position=item.position,
            comment=item.comment,
        )
        for item in record.items
    ]
    return vectrograph.Feedback(
        feedback_id=record.feedback_id,
        collection=record.collection,
        query=record.query,
        user_id=record.user_id,
        context=record.context,
        items=items,
        created_at=seconds(record.created_at),
    )
