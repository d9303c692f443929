"""What a handler is given besides the decoded body: the application, the call, and the varying parts of the path."""

from collections.abc import Mapping
from dataclasses import dataclass

from vectrograph.domain.errors import Unauthenticated
from vectrograph.services import Services
from vectrograph.services.call import UNKNOWN_ORIGIN, Call, Origin


@dataclass(frozen=True, slots=True)
class Page:
    """An answer that is not a struct: bytes ready to send."""

    body: bytes
    media_type: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Application:
    """What is the same for all requests.

    Attributes:
        services: every use case.
        version: of the server.
        document: the OpenAPI document, as JSON.
    """

    services: Services
    version: str
    document: bytes


@dataclass(frozen=True, slots=True)
class Context:
    """One request on its way into the services.

    Attributes:
        application: what is the same for all requests.
        caller: None on public routes.
        path: varying parts of the path, decoded.
        origin: where the request came from.
    """

    application: Application
    caller: Call | None
    path: Mapping[str, str]
    origin: Origin = UNKNOWN_ORIGIN

    @property
    def services(self) -> Services:
        """Every use case."""
        return self.application.services

    @property
    def call(self) -> Call:
        """The authenticated call.

        Raises:
            Unauthenticated: the route is public, so nobody was asked who they are.
        """
        if self.caller is None:
            raise Unauthenticated("This route was called without credentials.")
        return self.caller
