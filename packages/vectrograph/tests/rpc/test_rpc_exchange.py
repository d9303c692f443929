"""Frame of every call: request ids, deadlines, errors as statuses, the access log; over scripted services."""

import json
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from vectrograph.domain import errors
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.cancellation import current
from vectrograph.domain.errors import DomainError, InternalError
from vectrograph.domain.limits import Limits
from vectrograph.domain.queries import SearchResult
from vectrograph.rest.errors import status_of as http_status
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import VECTRON_SERVICE_METHODS
from vectrograph.rpc.errors import status_of
from vectrograph.rpc.exchange import Exchange
from vectrograph.services.call import Call, Principal
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.traffic import Counts, Traffic

SECRET = "what nobody outside should read"
GOOD = ("authorization", "Bearer good")
Logs = list[MutableMapping[str, Any]]


@dataclass
class Script:
    """Services whose search does what a test says, and remembers the calls."""

    act: Callable[[Call], None] = lambda call: None
    calls: list[Call] = field(default_factory=list)
    requests: int = 0
    traffic: Traffic = field(default_factory=Traffic)

    def authenticate(self, credential: str) -> Principal:
        if credential != "good":
            raise errors.InvalidApiKey("unknown key")
        return Principal("u", "u", Role.ADMIN, ROLE_SCOPES[Role.ADMIN])

    def look(self, *_: Any) -> None:
        """Development mode is nothing that these tests are about."""

    def count_request(self) -> None:
        self.requests += 1

    def search(self, call: Call, *_: Any, **__: Any) -> list[SearchResult]:
        self.calls.append(call)
        self.act(call)
        return [SearchResult(hits=())]

    def services(self) -> Any:
        return SimpleNamespace(
            sessions=self,
            health=self,
            development=self,
            search=self,
            limits=Limits(),
            rate_limits=RateLimits(),
            concurrency=Concurrency(),
            traffic=self.traffic,
        )


@pytest.fixture(scope="module")
def served(serve: Callable[..., tuple[grpc.Server, Any]]) -> tuple[Script, Any]:
    script = Script()
    return script, serve(script.services())[1]


@pytest.fixture
def script(served: tuple[Script, Any]) -> Script:
    script = served[0]
    script.act, script.calls, script.requests = (lambda call: None), [], 0
    return script


@pytest.fixture
def wire(served: tuple[Script, Any]) -> Any:
    return served[1]


def ask(wire: Any, *metadata: tuple[str, str], timeout: float | None = 20, **fields: Any) -> tuple[Any, dict[str, Any]]:
    """Return a search: its answer or error, and its trailers."""
    stub = wire.unary_unary(VECTRON_SERVICE_METHODS["Search"].path)
    body = pb.SearchRequest(collection="c", vector=[1], **fields).SerializeToString()
    try:
        answer, call = stub.with_call(body, metadata=metadata or (GOOD,), timeout=timeout)
    except grpc.RpcError as error:
        failed: Any = error
        return failed, dict(failed.trailing_metadata())
    return answer, dict(call.trailing_metadata())


def every_error(kind: type[DomainError] = DomainError) -> list[type[DomainError]]:
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [*children, *(grandchild for child in children for grandchild in every_error(child))]


# ---------------------------------------------------------------- order


def test_anonymous_callers_are_refused_before_they_have_sent_anything(script: Script, wire: Any) -> None:
    """More callers than the server has threads, none of which ever sends its message."""
    stub = wire.stream_unary(VECTRON_SERVICE_METHODS["Search"].path)
    with silence() as nothing:
        waiting = [stub.future(nothing, timeout=20) for _ in range(12)]
        assert {call.exception().code() for call in waiting} == {grpc.StatusCode.UNAUTHENTICATED}
    assert script.calls == []


@contextmanager
def silence() -> Iterator[Iterator[bytes]]:
    """Provide request messages that never come."""
    over = threading.Event()
    # The two-argument form asks again and again, and stops when the answer is the second argument.
    yield iter(lambda: b"never" if over.wait(60) else b"", b"never")
    over.set()


def test_of_what_comes_twice_the_first_counts(script: Script, wire: Any) -> None:
    other = ("authorization", "Bearer somebody-else")
    _, trailers = ask(wire, GOOD, other, ("x-request-id", "mine-1"), ("x-request-id", "mine-2"))
    assert trailers["x-request-id"] == script.calls[0].request_id == "mine-1"
    assert ask(wire, other, GOOD)[0].code() is grpc.StatusCode.UNAUTHENTICATED


# ---------------------------------------------------------------- request ids


def test_a_request_id_comes_back_and_reaches_the_services(script: Script, wire: Any) -> None:
    _, trailers = ask(wire, GOOD, ("x-request-id", "mine-1"))
    assert trailers["x-request-id"] == "mine-1"
    assert script.calls[0].request_id == "mine-1"


@pytest.mark.parametrize("given", ["", "with space", 'quote"', "x" * 129])
def test_an_unsafe_request_id_is_replaced(script: Script, wire: Any, given: str) -> None:
    _, trailers = ask(wire, GOOD, ("x-request-id", given))
    assert trailers["x-request-id"] == script.calls[0].request_id != given


def test_every_call_has_an_id_of_its_own(script: Script, wire: Any) -> None:
    assert ask(wire)[1]["x-request-id"] != ask(wire)[1]["x-request-id"]
    assert script.requests == 2


def test_a_stream_tells_its_id_before_its_answers(script: Script, wire: Any) -> None:
    stub = wire.unary_stream(VECTRON_SERVICE_METHODS["SearchStream"].path)
    answers = stub(b"\x0a\x01c", metadata=(GOOD, ("x-request-id", "mine-2")), timeout=20)
    assert dict(answers.initial_metadata())["x-request-id"] == "mine-2"
    assert len(list(answers)) == 1
    assert dict(answers.trailing_metadata())["x-request-id"] == "mine-2"


# ---------------------------------------------------------------- deadlines


@pytest.mark.parametrize(
    ("timeout", "timeout_ms", "seconds"),
    [(None, 0, None), (20, 0, 20), (None, 5_000, 5), (20, 5_000, 5), (5, 20_000, 5)],
)
def test_the_earlier_of_both_deadlines_counts(
    script: Script, wire: Any, timeout: float | None, timeout_ms: int, seconds: float | None
) -> None:
    ask(wire, timeout=timeout, timeout_ms=timeout_ms)
    deadline = script.calls[0].deadline
    if seconds is None:
        assert deadline is None
    else:
        assert deadline is not None
        # gRPC rounds a timeout up a little.
        assert seconds - 2 < deadline - time.monotonic() < seconds + 0.2


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", [kind for kind in every_error() if kind is not InternalError])
@pytest.mark.parametrize("method", ["Search", "SearchStream"])
def test_every_error_arrives_with_its_status_and_trailers(
    script: Script, wire: Any, kind: type[DomainError], method: str
) -> None:
    def act(call: Call) -> None:
        error = kind("the reason – and what to do")
        error.details, error.retry_after = {"limit": 5}, 2.5
        raise error

    script.act = act
    with pytest.raises(grpc.RpcError) as caught:
        list(wire.unary_stream(VECTRON_SERVICE_METHODS[method].path)(b"\x0a\x01c", metadata=(GOOD,), timeout=20))
    failed: Any = caught.value
    trailers = dict(failed.trailing_metadata())
    assert failed.code() is status_of(kind("m"))
    assert failed.details() == "the reason – and what to do"
    assert trailers["x-error-code"] == kind.code
    assert trailers["retry-after"] == "2.5"
    assert trailers["x-request-id"] == script.calls[0].request_id
    assert json.loads(trailers["x-error-details-bin"]) == {"limit": 5}


@pytest.mark.parametrize("kind", [ZeroDivisionError, InternalError])
@pytest.mark.parametrize("method", ["Search", "SearchStream"])
def test_a_defect_of_ours_tells_its_id_to_the_caller_and_its_story_to_the_log(
    script: Script, wire: Any, log_lines: Logs, method: str, kind: type[Exception]
) -> None:
    def act(call: Call) -> None:
        raise kind(SECRET)

    script.act = act
    with pytest.raises(grpc.RpcError) as caught:
        list(wire.unary_stream(VECTRON_SERVICE_METHODS[method].path)(b"\x0a\x01c", metadata=(GOOD,), timeout=20))
    failed: Any = caught.value
    request_id = script.calls[0].request_id
    assert failed.code() is grpc.StatusCode.INTERNAL
    assert request_id in failed.details()
    assert SECRET not in failed.details() + str(failed.trailing_metadata())
    [line] = [line for line in log_lines if line["log_level"] == "error"]
    assert isinstance(line["exc_info"], kind)
    assert line["request_id"] == request_id


# ---------------------------------------------------------------- the access log


def access_line(log_lines: Logs) -> MutableMapping[str, Any]:
    [line] = [line for line in log_lines if line["event"] == "rpc"]
    return line


def test_one_line_for_a_call_that_went_well(script: Script, wire: Any, log_lines: Logs) -> None:
    ask(wire)
    line = access_line(log_lines)
    assert (line["method"], line["code"]) == ("Search", "OK")
    assert line["milliseconds"] > 0
    assert line["request_id"] == script.calls[0].request_id


def test_one_line_for_a_call_that_was_refused(script: Script, wire: Any, log_lines: Logs) -> None:
    ask(wire, ("authorization", f"Bearer {SECRET.replace(' ', '-')}"))
    line = access_line(log_lines)
    assert (line["code"], line["error_code"]) == ("UNAUTHENTICATED", "INVALID_API_KEY")
    assert "nobody" not in str(log_lines)


def test_one_line_for_a_call_whose_client_went_away(script: Script, wire: Any, log_lines: Logs) -> None:
    stub = wire.stream_unary(VECTRON_SERVICE_METHODS["Search"].path)
    with silence() as nothing:
        call = stub.future(nothing, metadata=(GOOD,), timeout=20)
        wait_for(lambda: script.requests == 1)
        call.cancel()
        wait_for(lambda: any(line["event"] == "rpc" for line in log_lines))
    # grpc reports either the end of the messages or the cancellation first.
    assert access_line(log_lines)["code"] in ("CANCELLED", "INVALID_ARGUMENT")
    assert [line for line in log_lines if line["log_level"] == "error"] == []


@pytest.mark.parametrize("how", [grpc.RpcError, GeneratorExit])
def test_a_client_that_went_away_is_no_error_of_ours(log_lines: Logs, how: type[BaseException]) -> None:
    context: Any = SimpleNamespace(invocation_metadata=tuple, set_trailing_metadata=lambda trailers: None)
    with pytest.raises(how), Exchange("Search", context):
        raise how
    assert [(line["event"], line["code"]) for line in log_lines] == [("rpc", "CANCELLED")]


# ---------------------------------------------------------------- counts of tenants that are watched


@pytest.fixture
def watched(script: Script) -> Iterator[Traffic]:
    script.traffic.watch("default", 1)
    yield script.traffic
    script.traffic.forget("default")


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_only_the_errors_that_http_answers_with_500_are_failures(
    script: Script, wire: Any, watched: Traffic, kind: type[DomainError]
) -> None:
    def fail(_: Call) -> None:
        raise kind("it is so")

    script.act = fail
    ask(wire)
    broken = kind is errors.Cancelled
    assert watched.of("default") == Counts(since=1, requests=1, failed=int(http_status(kind) >= 500), broken=broken)


def test_good_calls_defects_and_strangers(script: Script, wire: Any, watched: Traffic) -> None:
    ask(wire)
    ask(wire, ("authorization", "Bearer bad"))
    assert watched.of("default") == Counts(since=1, requests=1)

    def fail(_: Call) -> None:
        raise KeyError("a defect")

    script.act = fail
    ask(wire)
    assert watched.of("default") == Counts(since=1, requests=2, failed=1)


@pytest.mark.parametrize("raises", [False, True])
def test_a_caller_that_left_before_its_answer_is_a_broken_connection(
    script: Script, wire: Any, watched: Traffic, raises: bool
) -> None:
    reached = threading.Event()

    def wait(_: Call) -> None:
        gone = current()
        assert gone is not None
        reached.set()
        wait_for(gone)
        if raises:
            raise errors.Unavailable("busy")

    script.act = wait
    body = pb.SearchRequest(collection="c", vector=[1]).SerializeToString()
    call = wire.unary_unary(VECTRON_SERVICE_METHODS["Search"].path).future(body, metadata=(GOOD,), timeout=20)
    assert reached.wait(20)
    call.cancel()
    wait_for(lambda: watched.of("default").requests == 1)
    assert watched.of("default") == Counts(since=1, requests=1, broken=1)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
