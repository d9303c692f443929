"""What the document of a vector frame holds: the bodies of `bodies`, with the number of a row for each vector."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from vectrograph.rest import requests

Row = Annotated[int, Meta(ge=0, description="Number of a row of the frame.")]


class TokenCreateRow(requests.TokenCreate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be, whose embedding is a row."""

    embedding: Row | None = None


class TokenBatchRows(requests.TokenBatch, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens to be, whose embeddings are rows."""

    tokens: Annotated[list[TokenCreateRow], Meta(description="At most `max_batch` tokens.")]  # type: ignore[assignment]


class TokenUpdateRow(requests.TokenUpdate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a token, whose new embedding is a row."""

    embedding: Row | UnsetType | None = UNSET


class TokenQueryRow(requests.TokenQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question whose vector is a row."""

    query_vector: Row | None = None


class TokenQueryManyRows(requests.TokenQueryMany, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Questions whose vectors are rows."""

    query_vectors: Annotated[list[Row], Meta(description="At most `max_batch` rows.")] | None = None  # type: ignore[assignment]
