"""Feedback on search results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vectrograph.control.feedback import FeedbackLog
from vectrograph.control.records import FeedbackItem, FeedbackRecord
from vectrograph.domain.errors import InvalidArgument, Place, TooLarge
from vectrograph.domain.limits import Limits
from vectrograph.engines.base import Engine
from vectrograph.services.call import Call
from vectrograph.services.limits.validation import utf8_bytes, validate_batch, validate_name, validate_payload

# Entries of a page when the request names no limit.
DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackPage:
    """Submissions, newest first; `cursor` is None when there is nothing more."""

    records: tuple[FeedbackRecord, ...]
    cursor: str | None


class Feedback:
    """Takes judgements of search hits in collections that the caller may read, and lists them."""

    def __init__(self, log: FeedbackLog, engine: Engine, limits: Limits) -> None:
        self._log = log
        self._engine = engine
        self._limits = limits

    def submit(
        self,
        call: Call,
        collection: str,
        query: str,
        items: Sequence[FeedbackItem],
        context: Mapping[str, str],
    ) -> str:
        """Store judgements of the hits of one query under the caller's name; `context` is kept as it is.

        Returns:
            The id of the submission, a UUID.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            InvalidArgument: the collection is empty, there are no items, or a relevance score is not from 1 to 5.
            CollectionNotFound: there is no such collection.
            QuotaExceeded: the account, or the server, has as much feedback as is kept.
            TooLarge: there are more than `max_batch` items, or a text or the context is over its limit.
        """
        ref = call.require_collection(collection, "read")
        if not collection:
            raise InvalidArgument.of("collection", "collection name cannot be empty", "string_too_short")
        validate_name(collection, "collection", self._limits)
        if not items:
            raise InvalidArgument.of("feedback_items", "feedback items cannot be empty", "too_short")
        validate_batch(items, "feedback_items", self._limits)
        self._validate_length(query, "query")
        validate_payload(context, "context", self._limits)
        for position, item in enumerate(items):
            self._validate_item(item, ("feedback_items", position))
        self._engine.describe(ref)
        return self._log.create(
            tenant=ref.tenant,
            collection=collection,
            query=query,
            user_id=call.principal.user_id,
            context=context,
            items=items,
        )

    def list(
        self, call: Call, collection: str, *, query: str | None = None, limit: int = 0, cursor: str | None = None
    ) -> FeedbackPage:
        """Return one page of the feedback on a collection. It names who judged, hence the write scope.

        Args:
            call: who asks.
            collection: on what.
            query: only feedback on exactly this query text.
            limit: 0 means 100, or `max_page` if that is less.
            cursor: of the page before.

        Raises:
            PermissionDenied: the write scope of that collection is missing.
            InvalidArgument: the collection is empty, `limit` is over `max_page`, or the cursor is not one of ours.
        """
        ref = call.require_collection(collection, "write")
        validate_name(collection, "collection", self._limits)
        largest = self._limits.max_page
        if not 0 <= limit <= largest:
            raise InvalidArgument.of("limit", f"is {limit} and must be at most max_page = {largest}", "out_of_range")
        size = limit or min(DEFAULT_PAGE, largest)
        before = None if cursor is None else _position(cursor)
        found = self._log.list(ref.tenant, collection, query, before=before, limit=size + 1)
        more = f"{found[size - 1].created_at}.{found[size - 1].feedback_id}" if len(found) > size else None
        return FeedbackPage(records=tuple(found[:size]), cursor=more)

    def _validate_item(self, item: FeedbackItem, place: Place) -> None:
        if not 1 <= item.relevance_score <= 5:
            raise InvalidArgument.of(
                (*place, "relevance_score"),
                f"is {item.relevance_score}; relevance score must be between 1 and 5",
                "out_of_range",
            )
        self._validate_length(item.result_id, (*place, "result_id"))
        self._validate_length(item.comment, (*place, "comment"))

    def _validate_length(self, text: str, field: str | Place) -> None:
        size = utf8_bytes(text, field)
        if size > self._limits.max_text_bytes:
            limit = self._limits.max_text_bytes
            raise TooLarge.of(
                field, f"is {size} bytes and the limit max_text_bytes is {limit}; shorten it.", limit, "bytes"
            )


def _position(cursor: str) -> tuple[int, str]:
    """Return time and id of the submission that a page ended with."""
    at, _, feedback_id = cursor.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) < 19 and 0 < len(feedback_id) <= 36):
        raise InvalidArgument.of("cursor", "is not a valid cursor; begin without one")
    return int(at), feedback_id
