"""The table of procedures: every remote procedure of the contract, whatever wire it is called over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from vectrograph.domain.access import Scope
from vectrograph.services.call import Action
from vectrograph.vectron import accounts, collections, events, feedback, points
from vectrograph.vectron._messages.methods import METHODS

VECTRON: Final = "vectron.v1.VectronService"
ACCOUNTS: Final = "vectron.auth.v1.AuthService"
EXTENSIONS: Final = "vectrograph.v1.VectrographService"


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One remote procedure.

    Attributes:
        service: full name of the service that has it.
        name: of the procedure.
        run: the operation. Its first argument is an Invocation, of a public procedure a Visit.
        request: struct of the message that it takes.
        response: struct of the answer.
        scope: needed before anything of the message is looked at.
        action: right that the caller must have in the collection that the message names, before anything else of the
            message is looked at; None where the service asks for rights itself.
        public: whether anonymous callers may call it.
        repeatable: whether an idempotency key is heeded.
        streaming: whether it answers with several messages.
        live: whether it answers for as long as the caller listens; the operation returns what the transport opens.
    """

    service: str
    name: str
    run: Callable[[Any, Any], Any]
    request: type[Struct]
    response: type[Struct]
    scope: Scope | None = None
    action: Action | None = None
    public: bool = False
    repeatable: bool = False
    streaming: bool = False
    live: bool = False

    @property
    def collection_field(self) -> str:
        """The field of the message that names the collection."""
        return "collection" if "collection" in self.request.__struct_fields__ else "name"


def _in(service: str) -> Callable[..., Procedure]:
    def row(name: str, run: Callable[[Any, Any], Any], **more: Any) -> Procedure:
        request, response, streaming = METHODS[f"{service}/{name}"]
        return Procedure(
            service=service, name=name, run=run, request=request, response=response, streaming=streaming, **more
        )

    return row


_vectron, _account, _extension = _in(VECTRON), _in(ACCOUNTS), _in(EXTENSIONS)
_READ: Final = {"action": "read"}
_WRITE: Final = {"action": "write", "repeatable": True}
_DELETE: Final = {"action": "delete", "repeatable": True}
_PUBLIC: Final = {"public": True}

_ALL: Final = (
    _vectron("CreateCollection", collections.create),
    _vectron("DeleteCollection", collections.drop),
    _vectron("ListCollections", collections.list_names),
    _vectron("GetCollectionStatus", collections.status, **_READ),
    _vectron("Upsert", points.upsert, **_WRITE),
    _vectron("Search", points.search, **_READ),
    _vectron("SearchStream", points.search_stream, **_READ),
    _vectron("Get", points.get, **_READ),
    _vectron("Delete", points.delete, **_DELETE),
    _vectron("UpdateUserProfile", accounts.update_plan),
    _vectron("SubmitFeedback", feedback.submit_feedback),
    _account("RegisterUser", accounts.register, **_PUBLIC),
    _account("Login", accounts.login, **_PUBLIC),
    _account("GetUserProfile", accounts.profile),
    _account("UpdateUserProfile", accounts.update_profile),
    _account("DeleteUser", accounts.delete_user),
    _account("RefreshToken", accounts.refresh),
    _account("CreateAPIKey", accounts.create_key, scope=Scope.API_KEYS_WRITE),
    _account("ListAPIKeys", accounts.list_keys),
    _account("DeleteAPIKey", accounts.delete_key),
    _account("ValidateAPIKey", accounts.validate_key, **_PUBLIC),
    _account("CreateSDKJWT", accounts.sdk_token),
    _account("GetAuthDetailsForSDK", accounts.key_details),
    _extension("SearchBatch", points.search_batch, **_READ),
    _extension("Scroll", points.scroll, **_READ),
    _extension("Count", points.count, **_READ),
    _extension("DeleteWhere", points.delete_where, **_DELETE),
    _extension("UpsertIf", points.upsert_if, **_WRITE),
    _extension("GetCollectionInfo", collections.info, **_READ),
    _extension("GetLimits", collections.limits, **_PUBLIC),
    _extension("ListFeedback", feedback.list_feedback, action="write"),
    _extension("Watch", events.watch, live=True, **_READ),
)

PROCEDURES: Final[Mapping[str, Procedure]] = MappingProxyType({f"{each.service}/{each.name}": each for each in _ALL})
"""Every procedure by its full name, such as `vectron.v1.VectronService/Upsert`."""
