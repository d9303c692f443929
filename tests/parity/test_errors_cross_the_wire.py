"""Every error of the domain comes back as exactly one exception in each client, with its code, message and request
id.
"""

from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

import neurograph
import vectron_client
from neurograph._protocol.failures import ended
from vectrograph import RunningServer, running
from vectrograph.domain import errors

EXPECTED: dict[type[errors.DomainError], tuple[type[Exception], type[Exception]]] = {
    errors.InvalidArgument: (neurograph.ValidationError, vectron_client.InvalidArgumentError),
    errors.Unauthenticated: (neurograph.AuthenticationError, vectron_client.AuthenticationError),
    errors.InvalidCredentials: (neurograph.AuthenticationError, vectron_client.AuthenticationError),
    errors.InvalidToken: (neurograph.AuthenticationError, vectron_client.AuthenticationError),
    errors.TokenExpired: (neurograph.AuthenticationError, vectron_client.AuthenticationError),
    errors.InvalidApiKey: (neurograph.AuthenticationError, vectron_client.AuthenticationError),
    errors.PermissionDenied: (neurograph.AuthorizationError, vectron_client.PermissionDeniedError),
    errors.NotFound: (neurograph.NotFoundError, vectron_client.NotFoundError),
    errors.CollectionNotFound: (neurograph.NotFoundError, vectron_client.NotFoundError),
    errors.PointNotFound: (neurograph.NotFoundError, vectron_client.NotFoundError),
    errors.ApiKeyNotFound: (neurograph.NotFoundError, vectron_client.NotFoundError),
    errors.UserNotFound: (neurograph.NotFoundError, vectron_client.NotFoundError),
    errors.AlreadyExists: (neurograph.ConflictError, vectron_client.AlreadyExistsError),
    errors.Conflict: (neurograph.ConflictError, vectron_client.FailedPreconditionError),
    errors.ReservedCollection: (neurograph.ConflictError, vectron_client.FailedPreconditionError),
    errors.IdempotencyConflict: (neurograph.ConflictError, vectron_client.FailedPreconditionError),
    errors.QuotaExceeded: (neurograph.ConflictError, vectron_client.FailedPreconditionError),
    errors.PositionExpired: (neurograph.PositionExpiredError, vectron_client.PositionExpiredError),
    errors.TooLarge: (neurograph.PayloadTooLargeError, vectron_client.MessageTooLargeError),
    errors.RateLimited: (neurograph.RateLimitError, vectron_client.RateLimitError),
    errors.DeadlineExceeded: (neurograph.ServerError, vectron_client.DeadlineExceededError),
    errors.Cancelled: (neurograph.NeuroGraphError, vectron_client.VectronError),
    errors.Unavailable: (neurograph.ServerError, vectron_client.UnavailableError),
    errors.Overloaded: (neurograph.ServerError, vectron_client.UnavailableError),
    errors.OutOfSpace: (neurograph.ServerError, vectron_client.VectronError),
    errors.StorageReadOnly: (neurograph.ServerError, vectron_client.FailedPreconditionError),
    errors.CollectionQuarantined: (neurograph.ServerError, vectron_client.VectronError),
    errors.InternalError: (neurograph.ServerError, vectron_client.InternalServerError),
}


def _tree(base: type[errors.DomainError]) -> Iterator[type[errors.DomainError]]:
    for child in base.__subclasses__():
        yield child
        yield from _tree(child)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def _raising(kind: type[errors.DomainError]) -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise kind("what happened, to which item, and what to do")

    return refuse


def _check_words(kind: type[errors.DomainError], message: str) -> None:
    """Expect the server's words whole, except for a defect of its own: that one is told in the log only."""
    told = message == "what happened, to which item, and what to do"
    assert told is (kind is not errors.InternalError), message


def test_the_table_names_every_error_of_the_domain() -> None:
    assert set(EXPECTED) == set(_tree(errors.DomainError))


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_rest(server: RunningServer, monkeypatch: pytest.MonkeyPatch, kind: type[errors.DomainError]) -> None:
    monkeypatch.setattr(type(server.server.services.tokens), "get", _raising(kind))
    with server.neurograph(max_retries=0) as client, pytest.raises(neurograph.NeuroGraphError) as caught:
        client.tokens.get(1)
    error = caught.value
    assert type(error) is EXPECTED[kind][0]
    assert error.error_code == kind.code
    _check_words(kind, error.message)
    assert error.request_id


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_grpc(server: RunningServer, monkeypatch: pytest.MonkeyPatch, kind: type[errors.DomainError]) -> None:
    monkeypatch.setattr(type(server.server.services.points), "get", _raising(kind))
    options = vectron_client.ClientOptions(retry_max_attempts=1)
    with server.vectron(options=options) as client, pytest.raises(vectron_client.VectronError) as caught:
        client.get("docs", "a")
    error = caught.value
    wanted = EXPECTED[kind][1]
    assert isinstance(error, wanted)
    assert type(error) is wanted or wanted is vectron_client.VectronError
    assert error.error_code == kind.code
    _check_words(kind, error.message)
    assert error.request_id


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_a_frame_of_a_stream_of_events_brings_the_same_exception(kind: type[errors.DomainError]) -> None:
    found = ended({"code": kind.code, "message": "as the server has it", "details": {"fact": 1}})
    assert (type(found), found.error_code, found.details) == (EXPECTED[kind][0], kind.code, {"fact": 1})
