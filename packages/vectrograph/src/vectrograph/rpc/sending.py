"""Sending the messages of a stream without a thread that waits until the caller has taken them.

A non-blocking behaviour gets a function from grpcio that sends a message and returns when HTTP/2's flow control has let
it out: a caller that does not read holds a thread. grpc's core itself does not wait. It starts to send, and reports the
end to the serving thread. grpcio publishes no way to that, so this module, and no other, uses what it has inside.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc

from vectrograph.domain.errors import StartupError
from vectrograph.rpc.slow_bodies import SlowBodies

try:
    from grpc import _server
    from grpc._cython import cygrpc  # type: ignore[attr-defined]
except ImportError:  # another grpcio than the one that this was written for; see `require_support`
    _server = cygrpc = None  # type: ignore[assignment]

# Parts of grpcio that are not published. `tests/rpc/test_rpc_sending.py` has what is expected of them.
_OF_SERVER: Final = ("_is_rpc_state_active", "_possibly_finish_call")
_OF_CORE: Final = ("SendMessageOperation",)
_OF_CONTEXT: Final = ("_rpc_event", "_state")
# Name of the operation among those of a call that are under way: the call is over when none is left.
_OPERATION: Final = "send_message"
# Flags of the operation: none.
_FLAGS: Final = 0
# Seconds for a status to reach a caller that has not taken the message before it. Chosen: several round trips.
_STATUS_SECONDS: Final = 1.0


def require_support() -> None:
    """Go on only when the installed grpcio has what is needed here.

    Raises:
        StartupError: it does not.
    """
    missing = [name for name in _OF_SERVER if not hasattr(_server, name)]
    missing += [name for name in _OF_CORE if not hasattr(cygrpc, name)]
    if missing:
        raise _unsupported(missing)


def _unsupported(missing: Sequence[str]) -> StartupError:
    return StartupError(
        f"grpcio {grpc.__version__} lacks {', '.join(missing)}, which streams without threads need; "
        "install the version of grpcio that requirements/run.lock has"
    )


class Sender:
    """Sends the messages and the status of one call, and never waits. The initial metadata must have been sent.

    Args:
        context: of the call.
        finish: what grpc gives a non-blocking behaviour; it sends the status when it is called with None.
        readers: ends the call when its caller takes nothing for too long.
    """

    def __init__(self, context: grpc.ServicerContext, finish: Callable[[None], None], readers: SlowBodies) -> None:
        if missing := [name for name in _OF_CONTEXT if not hasattr(context, name)]:
            raise _unsupported(missing)
        inside: Any = context
        self._context = context
        self._state = inside._state
        self._call = inside._rpc_event.call
        self._finish = finish
        self._readers = readers
        self._is_finished = False

    def send(self, message: bytes, sent: Callable[[], None]) -> bool:
        """Begin to send a message. The one before must have been sent.

        Args:
            message: serialised.
            sent: is called once, in grpc's serving thread, when the caller has taken the message or the call is over.

        Returns:
            False when the call is over already; then `sent` is not called.
        """
        state = self._state
        watch = self._readers.watching(self._context, len(message))

        def done(_: Any) -> tuple[Any, Sequence[Callable[[], None]]]:
            watch.__exit__()
            with state.condition:
                finished, callbacks = _server._possibly_finish_call(state, _OPERATION)
            # The serving thread calls these, without a lock.
            return finished, (*callbacks, sent)

        # The lock is one of this call alone, and is held for as long as it takes to hand the message over.
        with state.condition:
            if not _server._is_rpc_state_active(state):
                return False
            watch.__enter__()
            try:
                self._call.start_server_batch((cygrpc.SendMessageOperation(message, _FLAGS),), done)
            except BaseException:
                watch.__exit__()
                raise
            state.due.add(_OPERATION)
        return True

    def finish(
        self,
        code: grpc.StatusCode = grpc.StatusCode.OK,
        message: str = "",
        trailers: Sequence[tuple[str, str | bytes]] = (),
    ) -> None:
        """End the call with a status, behind a message that is still on its way. Finishing twice is fine.

        A caller that does not take that message is ended within a second, and sees CANCELLED.
        """
        if self._is_finished:
            return
        self._is_finished = True
        watch = self._readers.watching(self._context, seconds=_STATUS_SECONDS)
        watch.__enter__()
        if not self._context.add_callback(watch.__exit__):
            watch.__exit__()
            return
        if trailers:
            self._context.set_trailing_metadata(tuple(trailers))
        if code is not grpc.StatusCode.OK:
            self._context.set_code(code)
            self._context.set_details(message)
        self._finish(None)
