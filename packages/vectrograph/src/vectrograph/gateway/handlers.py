"""Handlers of the routes: the operation of the contract, between a struct and JSON."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from vectrograph.domain.errors import Unauthenticated
from vectrograph.gateway import hits
from vectrograph.gateway.proto_json import write_message
from vectrograph.gateway.vectors import with_vectors
from vectrograph.http.context import Context, Page
from vectrograph.http.operation import Handler
from vectrograph.services.call import Principal
from vectrograph.vectron.invocation import Invocation, Visit
from vectrograph.vectron.procedures import Procedure

# What these return is built by hand; every other operation returns the struct of its answer.
_ANSWERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Search": hits.search_answer,
    "SearchBatch": hits.batch_answer,
    "Get": hits.get_answer,
    "Scroll": hits.scroll_answer,
}


def handler_of(procedure: Procedure) -> Handler:
    """Return the handler of a procedure's route."""
    run, answer = procedure.run, _ANSWERS.get(procedure.name)

    def handle(context: Context, message: Any) -> Page:
        if message is None:
            message = procedure.request(**context.path)
        message = with_vectors(context, message)
        if procedure.public:
            given: Any = Visit(context.services, lambda: _caller(context), context.origin)
        else:
            given = Invocation(context.services, context.call, context.idempotency)
        result = run(given, message)
        return Page(write_message(result if answer is None else answer(result, message)), "application/json")

    handle.__name__ = run.__name__
    return handle


def _caller(context: Context) -> Principal | None:
    """Return the caller of a public route, None if the credentials are missing or invalid."""
    if context.offered is None:
        return None
    try:
        principal = context.services.sessions.authenticate(context.offered)
    except Unauthenticated:
        return None
    context.services.rate_limits.charge_caller(principal)
    return principal
