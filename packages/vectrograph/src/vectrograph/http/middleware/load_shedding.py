"""Requests that would wait too long are refused at the door: before their credentials, route or body are looked at."""

from collections.abc import Callable, Iterable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.http.errors import ErrorWriter
from vectrograph.http.operation import Operation, Workload
from vectrograph.http.workers import Workers, overloaded
from vectrograph.services.limits.refusal_log import RefusalLog


class LoadShedder:
    """Asks the workers whether there is room, of every method and path that the table names in full.

    A refusal costs a small part of an answer, so that a server which is asked for four times what it can do still does
    most of what it can. Where a part of the path varies, the endpoint asks, still before the body is read. Probes have
    threads of their own and are never refused.
    """

    def __init__(self, app: ASGIApp, refusal: ASGIApp, operations: Iterable[Operation], workers: Workers) -> None:
        """`refusal` answers what is not let in to `app`."""
        self._app = app
        self._refusal = refusal
        self._workers = workers
        self._workloads: Mapping[tuple[str, str], Workload] = {(one.method, one.path): one.pool for one in operations}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or refuse it."""
        if scope["type"] == "http":
            workload = self._workloads.get((scope["method"], scope["path"]))
            if workload is not None and self._workers.is_full(workload):
                await self._refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Refusal:
    """Answers everything with 503 and says when to come back; `count` is called for each request."""

    def __init__(self, refusals: RefusalLog, count: Callable[[], None], write_error: ErrorWriter) -> None:
        self._refusals = refusals
        self._write_error = write_error
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse; the body, which nobody reads, is skipped as it comes."""
        self._count()
        self._refusals.note()
        answer = self._write_error(overloaded(), scope)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
