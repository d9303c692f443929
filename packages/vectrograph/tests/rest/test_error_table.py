"""Every error of the domain has a status, and goes out in the one envelope."""

import json
from collections.abc import Iterator

import pytest

from vectrograph.domain import errors as domain
from vectrograph.http.errors import MethodNotAllowed, RequestRefused
from vectrograph.rest.errors import STATUS, error_answer, status_of

EXPECTED = {
    domain.InvalidArgument: 422,
    domain.Unauthenticated: 401,
    domain.InvalidCredentials: 401,
    domain.InvalidToken: 401,
    domain.TokenExpired: 401,
    domain.InvalidApiKey: 401,
    domain.PermissionDenied: 403,
    domain.NotFound: 404,
    domain.CollectionNotFound: 404,
    domain.PointNotFound: 404,
    domain.ApiKeyNotFound: 404,
    domain.UserNotFound: 404,
    domain.AlreadyExists: 409,
    domain.Conflict: 409,
    domain.ReservedCollection: 409,
    domain.IdempotencyConflict: 409,
    domain.QuotaExceeded: 409,
    domain.PositionExpired: 410,
    domain.TooLarge: 413,
    domain.RateLimited: 429,
    domain.DeadlineExceeded: 504,
    domain.Cancelled: 499,
    domain.Unavailable: 503,
    domain.Overloaded: 503,
    domain.OutOfSpace: 507,
    domain.StorageReadOnly: 503,
    domain.CollectionQuarantined: 503,
    domain.InternalError: 500,
}


def descendants(kind: type[domain.DomainError]) -> Iterator[type[domain.DomainError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def refusals(kind: type[RequestRefused]) -> Iterator[type[RequestRefused]]:
    for child in kind.__subclasses__():
        yield child
        yield from refusals(child)


ALL = sorted(
    {kind for kind in descendants(domain.DomainError) if kind.__module__.startswith("vectrograph.")},
    key=lambda kind: kind.__name__,
)

REFUSALS: list[type[RequestRefused]] = [RequestRefused, *refusals(RequestRefused)]


@pytest.mark.parametrize("kind", ALL)
def test_every_domain_error_has_a_status_of_its_own_or_its_base(kind: type[domain.DomainError]) -> None:
    assert any(base in STATUS for base in kind.__mro__), f"{kind.__name__} is missing from rest.errors.STATUS"
    assert status_of(kind) == EXPECTED[kind], f"{kind.__name__}: decide its status here and in the table"


def test_the_root_is_not_in_the_table_so_that_new_errors_are_noticed() -> None:
    assert domain.DomainError not in STATUS


def test_codes_are_distinct_per_class() -> None:
    codes = [kind.code for kind in ALL if "code" in vars(kind)]
    codes += [refusal.code for refusal in REFUSALS if "code" in vars(refusal)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", [kind for kind in ALL if status_of(kind) != 500])
def test_a_domain_error_goes_out_whole(kind: type[domain.DomainError]) -> None:
    error = (
        kind.of(("a", 0, "b.c[1]"), "what happened", "t")
        if issubclass(kind, domain.InvalidArgument)
        else kind("what happened", details={"item": 7})
    )
    answer = error_answer(error, "r-1")
    body = json.loads(answer.body)
    assert answer.status == EXPECTED[kind]
    assert body["success"] is False
    assert body["error"]["code"] == kind.code
    assert body["error"]["request_id"] == "r-1"
    if issubclass(kind, domain.InvalidArgument):
        # The name of a field is the caller's: what looks like a position in it is none.
        named = {"field": "a.0.b.c[1]", "message": "what happened", "type": "t"}
        assert body["error"]["message"] == "a[0].b.c[1]: what happened"
        assert body["error"]["details"] == {"errors": [named], "count": 1}
    else:
        assert body["error"]["message"] == "what happened"
        assert body["error"]["details"] == {"item": 7}


@pytest.mark.parametrize("kind", [k for k in ALL if issubclass(k, domain.Unauthenticated)])
def test_every_401_names_the_scheme(kind: type[domain.DomainError]) -> None:
    assert error_answer(kind("no"), "r").headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize(
    ("seconds", "header"), [(None, "1"), (0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (59.5, "60")]
)
def test_retry_after_is_whole_seconds_rounded_up(seconds: float | None, header: str) -> None:
    assert error_answer(domain.RateLimited("slow down", retry_after=seconds), "r").headers == {"Retry-After": header}


def test_retry_after_is_sent_with_other_errors_that_know_it() -> None:
    assert error_answer(domain.Unavailable("later", retry_after=2.5), "r").headers == {"Retry-After": "3"}
    assert error_answer(domain.Unavailable("later"), "r").headers == {}


@pytest.mark.parametrize(
    "error", [RuntimeError("swordfish"), domain.InternalError("swordfish", details={"password": "swordfish"})]
)
def test_defects_are_answered_without_a_word_about_them(error: Exception) -> None:
    answer = error_answer(error, "r-2")
    body = json.loads(answer.body)
    assert answer.status == 500
    assert body["error"]["code"] == "INTERNAL_ERROR"
    assert body["error"]["details"] == {}
    assert body["error"]["request_id"] == "r-2"
    assert b"swordfish" not in answer.body


def test_refusals_carry_their_headers() -> None:
    answer = error_answer(MethodNotAllowed("no", headers={"Allow": "GET"}), "r")
    assert (answer.status, answer.headers) == (405, {"Allow": "GET"})
