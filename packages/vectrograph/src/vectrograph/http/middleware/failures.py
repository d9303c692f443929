"""Turn every exception into an answer, and defects of the server into a log line too."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectrograph.domain.errors import DomainError, InternalError, Overloaded
from vectrograph.http.errors import ClientDisconnected, ErrorWriter, FramingRefused, RequestRefused
from vectrograph.http.scope import FAULTS
from vectrograph.services.limits.refusal_log import RefusalLog

log = structlog.get_logger("vectrograph.rest")


class Failures:
    """Answers what the inner application raises. An exception after the answer has begun is logged and raised again.

    A WebSocket is refused with the same answers.
    """

    def __init__(self, app: ASGIApp, refusals: RefusalLog, write_error: ErrorWriter) -> None:
        """`refusals` counts what is refused because the server is busy."""
        self._app = app
        self._refusals = refusals
        self._write_error = write_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through; answer what it raises."""
        begun = False

        async def send_watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if faults := scope.get(FAULTS):
                raise faults[0]
            await self._app(scope, receive, send_watched)
        except ClientDisconnected:
            log.info("client disconnected before its request was complete")
        except Exception as error:
            if begun:
                log.exception("failed while sending a response")
                raise
            if isinstance(error, Overloaded):
                self._refusals.note()
            try:
                await self._send_error(error, scope, send)
            finally:
                if isinstance(error, DomainError | RequestRefused) and not isinstance(error, InternalError):
                    _forget_frames(error)

    async def _send_error(self, error: Exception, scope: Scope, send: Send) -> None:
        answer = self._write_error(error, scope)
        kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        if answer.status == 500:
            log.error("internal error", exc_info=error)
        elif answer.status > 500 and not isinstance(error, Overloaded | FramingRefused):
            reason = error.message if isinstance(error, DomainError | RequestRefused) else None
            log.warning("request not served", status=answer.status, reason=reason)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
        await send({"type": f"{kind}.body", "body": answer.body})


def _forget_frames(error: BaseException | None) -> None:
    """Let go of the frames of a refusal that was answered, and of the errors behind it.

    Frames hold the body of the request, and often the error itself: a circle that only the garbage collector finds.
    Refused bodies of 18 MB stayed in memory by the dozen.
    """
    while error is not None and error.__traceback__ is not None:  # an error may be its own cause
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
