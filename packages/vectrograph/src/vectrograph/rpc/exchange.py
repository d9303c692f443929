"""One call on the wire, from its metadata to its status: request id, credentials, message bytes, errors, access log."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote

import grpc
import structlog

from vectrograph.domain.addresses import Network, client_address
from vectrograph.domain.errors import (
    Cancelled,
    DeadlineExceeded,
    DomainError,
    InternalError,
    InvalidArgument,
    TooLarge,
    Unauthenticated,
)
from vectrograph.domain.limits import Limits
from vectrograph.rpc.codec.framing import limit_fields, max_fields
from vectrograph.rpc.errors import message_of, status_of, trailers_of
from vectrograph.services import Services
from vectrograph.services.access_log import is_worth_a_line
from vectrograph.services.call import Call, Origin, Principal
from vectrograph.services.request_metadata import (
    deadline_after,
    new_request_id,
    require_idempotency_key,
    usable_request_id,
)
from vectrograph.services.traffic import Traffic, is_server_failure

_SCHEME: Final = "bearer"
_HOW: Final = "send `authorization: Bearer <API key or JWT>`, or `x-api-key`"

log = structlog.get_logger("vectrograph.rpc")


class Exchange:
    """A context that turns whatever its block raises into a gRPC status with trailers, and writes one access line.

    The order inside the block is the caller's: `authenticate`, then `receive`, so that no byte of a message is read,
    let alone parsed, before the credentials hold.
    """

    __slots__ = ("_context", "_given", "_goes_on", "_leave", "_method", "_started", "_tenant", "_traffic", "request_id")

    def __init__(self, method: str, context: grpc.ServicerContext) -> None:
        self._method = method
        self._context = context
        self._started = time.perf_counter()
        # Of what comes twice, the first counts.
        self._given = dict(reversed(context.invocation_metadata()))
        self.request_id = request_id_of(self._given)
        self._leave: Callable[[], None] | None = None
        self._traffic: Traffic | None = None
        self._tenant = ""
        self._goes_on = False

    def __enter__(self) -> Self:
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        self._context.set_trailing_metadata((("x-request-id", self.request_id),))
        return self

    def announce(self) -> None:
        """Send the request id ahead of the answers. On a single answer it would cost more than it tells."""
        self._context.send_initial_metadata((("x-request-id", self.request_id),))

    @property
    def credential(self) -> str:
        """The credential that was sent.

        Raises:
            Unauthenticated: there is none.
        """
        return credential_of(self._given)

    def go_on(self) -> None:
        """Let the call outlast the block: its access line is written by `end`."""
        self._goes_on = True

    def end(self, status: grpc.StatusCode, error_code: str | None = None) -> None:
        """Write the access line of a call that outlasted the block. How long it was is no reason for one."""
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        self._record(status, error_code, is_long=error_code is None)

    def authenticate(self, services: Services, trusted_proxies: Sequence[Network] = ()) -> Call:
        """Return the caller, request id and deadline of this call.

        Raises:
            RateLimited: the address or the caller sent too many.
            Unauthenticated: no credential, or one that does not hold.
            InvalidArgument: the idempotency key is not 1 to 255 visible ASCII characters.
        """
        services.health.count_request()
        deadline = self._deadline()
        address = caller_address(self._context, trusted_proxies)
        services.development.look(address, self._given)
        services.rate_limits.charge_address(address)
        principal = services.sessions.authenticate(self.credential)
        self._traffic, self._tenant = services.traffic, principal.tenant
        services.rate_limits.charge_caller(principal)
        self._leave = services.concurrency.enter_request(principal)
        return Call(
            principal,
            self.request_id,
            deadline,
            origin=Origin(address, self.request_id),
            idempotency=_idempotency_key(self._given),
        )

    def identify(self, services: Services, trusted_proxies: Sequence[Network] = ()) -> tuple[Principal | None, Origin]:
        """Return the caller of a public method, None when credentials are missing or do not hold, and its origin.

        Raises:
            RateLimited: the address or the caller sent too many.
        """
        services.health.count_request()
        origin = Origin(caller_address(self._context, trusted_proxies), self.request_id)
        services.development.look(origin.address, self._given)
        services.rate_limits.charge_address(origin.address)
        try:
            principal = services.sessions.authenticate(self.credential)
        except Unauthenticated:
            return None, origin
        services.rate_limits.charge_caller(principal)
        return principal, origin

    def receive(self, messages: Iterator[bytes], limits: Limits, max_bytes: int | None = None) -> bytes:
        """Return the bytes of the call's one message, `max_bytes` or the limit `max_body_bytes` at most.

        Raises:
            InvalidArgument: the caller closed its side without sending one.
            TooLarge: it has more bytes, or more fields than any message within the limits.
        """
        body = next(messages, None)
        if body is None:
            raise InvalidArgument.of("body", f"{self._method} needs exactly one request message", "missing")
        most = limits.max_body_bytes if max_bytes is None else max_bytes
        if len(body) > most:
            raise TooLarge(
                f"{self._method} takes at most {most} bytes and this message has {len(body)}; send less at once.",
                details={"limit": most, "unit": "bytes"},
            )
        limit_fields(body, max_fields(limits))
        return body

    def _deadline(self) -> float | None:
        return deadline_after(time.monotonic(), self._context.time_remaining())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leave is not None:
            self._leave()
        if self._traffic is not None and self._traffic.is_watched(self._tenant):
            self._count(self._traffic, error)
        if error is None:
            if not self._goes_on:
                self._record(grpc.StatusCode.OK)
        elif isinstance(error, DomainError) and not isinstance(error, InternalError):
            self._fail(error)
        elif isinstance(error, grpc.RpcError | GeneratorExit):
            # The client went away; grpc tells by raising, or by closing the generator of a stream.
            self._record(grpc.StatusCode.CANCELLED)
        elif isinstance(error, Exception):
            # Also for an InternalError that an engine raises: its words are for the log, not for the caller.
            log.error("unexpected error", method=self._method, exc_info=error)
            self._fail(InternalError(f"internal error; see request {self.request_id} in the server's log"))

    def _count(self, traffic: Traffic, error: BaseException | None) -> None:
        """Count the call for the tenant of its caller. A caller that has left fails nothing on the server's side."""
        gone = not isinstance(error, DeadlineExceeded) and not self._context.is_active()
        broken = gone or isinstance(error, grpc.RpcError | GeneratorExit | Cancelled)
        failed = error is not None and not broken and is_server_failure(error)
        traffic.count_request(self._tenant, failed=failed, broken=broken)

    def _fail(self, error: DomainError) -> None:
        status = status_of(error)
        self._record(status, error.code)
        self._context.set_trailing_metadata(trailers_of(error, self.request_id))
        self._context.abort(status, message_of(error))

    def _record(self, status: grpc.StatusCode, error_code: str | None = None, *, is_long: bool = False) -> None:
        """Write one line, of level info when there is something to see."""
        milliseconds = round((time.perf_counter() - self._started) * 1000, 3)
        facts = {} if error_code is None else {"error_code": error_code}
        if is_long:
            log.debug("rpc", method=self._method, code=status.name, milliseconds=milliseconds)
            return
        failed = status is not grpc.StatusCode.OK
        note = log.info if is_worth_a_line(failed=failed, milliseconds=milliseconds) else log.debug
        note("rpc", method=self._method, code=status.name, milliseconds=milliseconds, **facts)


def _idempotency_key(given: Mapping[str, str | bytes]) -> str | None:
    """Return the caller's own name for a write, from the metadata `idempotency-key`."""
    value = given.get("idempotency-key")
    if value is None:
        return None
    return require_idempotency_key(value, "idempotency-key")


def caller_address(context: grpc.ServicerContext, trusted_proxies: Sequence[Network] = ()) -> str:
    """Return the network address of the caller, through proxies that are trusted; "" where there is none."""
    peer = peer_address(context.peer())
    if not trusted_proxies:
        return peer
    said = [
        value for key, value in context.invocation_metadata() if key == "x-forwarded-for" and isinstance(value, str)
    ]
    return client_address(peer, ",".join(said) if said else None, trusted_proxies)


@lru_cache(maxsize=1_024)
def peer_address(peer: str) -> str:
    """Return the network address in what grpc calls the peer; "" where there is none.

    >>> peer_address("ipv4:127.0.0.1:53124"), peer_address("ipv6:%5B::1%5D:53124"), peer_address("unix:")
    ('127.0.0.1', '::1', '')
    """
    family, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else ""


def request_id_of(given: Mapping[str, str | bytes]) -> str:
    """Return the caller's own `x-request-id` when it is safe to log and send back, else a new one."""
    return usable_request_id(given.get("x-request-id")) or new_request_id()


def credential_of(given: Mapping[str, str | bytes]) -> str:
    """Return the credential in a call's metadata: `authorization` (scheme optional, in any case), else `x-api-key`.

    Raises:
        Unauthenticated: there is none, or `authorization` has something else than a bearer credential.

    >>> credential_of({"authorization": "bearer ng_abc"})
    'ng_abc'
    >>> credential_of({"x-api-key": "ng_abc"})
    'ng_abc'
    """
    if "authorization" in given:
        return _bearer(given["authorization"])
    if "x-api-key" in given:
        return _word(given["x-api-key"], "x-api-key")
    raise Unauthenticated(f"missing Authorization header: {_HOW}")


def _bearer(value: str | bytes) -> str:
    """Return the credential behind an optional `Bearer`."""
    words = value.split() if isinstance(value, str) else []
    if len(words) == 2 and words[0].lower() == _SCHEME:
        return words[1]
    if len(words) == 1 and words[0].lower() != _SCHEME:
        return words[0]
    raise Unauthenticated(f"invalid Authorization format: {_HOW}")


def _word(value: str | bytes, name: str) -> str:
    words = value.split() if isinstance(value, str) else []
    if len(words) != 1:
        raise Unauthenticated(f"invalid {name} format: {_HOW}")
    return words[0]
