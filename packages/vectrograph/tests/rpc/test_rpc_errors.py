"""The table from domain errors to gRPC."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import grpc
import pytest

from vectrograph.domain import errors
from vectrograph.domain.errors import DomainError
from vectrograph.rpc.errors import message_of, status_of, trailers_of
from vectrograph.vectron.codes import NUMBERS

EXPECTED = {
    errors.InvalidArgument: "INVALID_ARGUMENT",
    errors.Unauthenticated: "UNAUTHENTICATED",
    errors.InvalidCredentials: "UNAUTHENTICATED",
    errors.InvalidToken: "UNAUTHENTICATED",
    errors.TokenExpired: "UNAUTHENTICATED",
    errors.InvalidApiKey: "UNAUTHENTICATED",
    errors.PermissionDenied: "PERMISSION_DENIED",
    errors.NotFound: "NOT_FOUND",
    errors.CollectionNotFound: "NOT_FOUND",
    errors.PointNotFound: "NOT_FOUND",
    errors.ApiKeyNotFound: "NOT_FOUND",
    errors.UserNotFound: "NOT_FOUND",
    errors.AlreadyExists: "ALREADY_EXISTS",
    errors.Conflict: "FAILED_PRECONDITION",
    errors.ReservedCollection: "FAILED_PRECONDITION",
    errors.IdempotencyConflict: "FAILED_PRECONDITION",
    errors.QuotaExceeded: "FAILED_PRECONDITION",
    errors.PositionExpired: "OUT_OF_RANGE",
    errors.TooLarge: "RESOURCE_EXHAUSTED",
    errors.RateLimited: "RESOURCE_EXHAUSTED",
    errors.DeadlineExceeded: "DEADLINE_EXCEEDED",
    errors.Cancelled: "CANCELLED",
    errors.Unavailable: "UNAVAILABLE",
    errors.Overloaded: "UNAVAILABLE",
    errors.OutOfSpace: "RESOURCE_EXHAUSTED",
    errors.StorageReadOnly: "FAILED_PRECONDITION",
    errors.CollectionQuarantined: "FAILED_PRECONDITION",
    errors.InternalError: "INTERNAL",
}


def every_error(kind: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from every_error(child)


def test_the_table_covers_every_error() -> None:
    assert set(every_error()) == set(EXPECTED)
    assert {kind: status_of(kind("m")).name for kind in every_error()} == EXPECTED
    assert DomainError not in NUMBERS


def test_only_statuses_that_clients_retry_say_retry() -> None:
    for kind in every_error():
        if status_of(kind("m")) is grpc.StatusCode.UNAVAILABLE:
            assert kind.retryable


def test_trailers_tell_what_the_status_cannot() -> None:
    error = errors.TooLarge("too much", details={"limit": 3, "unit": "points"}, retry_after=2)
    assert trailers_of(error, "r-1") == (
        ("x-request-id", "r-1"),
        ("x-error-code", "REQUEST_TOO_LARGE"),
        ("retry-after", "2"),
        ("x-error-details-bin", b'{"limit":3,"unit":"points"}'),
    )
    assert trailers_of(errors.PointNotFound("gone"), "r-2") == (
        ("x-request-id", "r-2"),
        ("x-error-code", "POINT_NOT_FOUND"),
    )


def test_details_that_are_not_json_do_not_hide_the_error() -> None:
    trailers = dict(trailers_of(errors.Conflict("no", details={"who": Ellipsis}), "r"))
    assert trailers["x-error-details-bin"] == b'{"who":"Ellipsis"}'


@pytest.mark.parametrize("letter", ["x", "ä", "🙂"])
def test_what_is_sent_fits_into_the_metadata_of_any_client(letter: str) -> None:
    many = [{"field": f"points[{i}].id", "message": letter * 50, "type": "value_error"} for i in range(10_000)]
    error = errors.InvalidArgument(letter * 100_000, errors=many)
    trailers = trailers_of(error, "r" * 128)
    size = sum(len(key) + len(value) * 4 // 3 + 32 for key, value in trailers) + len(quote(message_of(error)))
    assert size < 8_000
    details = json.loads(dict(trailers)["x-error-details-bin"])
    assert 0 < len(details["errors"]) < 10_000
    assert details["count"] == 10_000
    assert message_of(error).startswith(letter * 200)


def test_details_too_long_to_shorten_stay_out() -> None:
    error = errors.Conflict("no", details={"blob": "x" * 10_000})
    assert "x-error-details-bin" not in dict(trailers_of(error, "r"))
