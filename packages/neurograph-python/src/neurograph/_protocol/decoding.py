"""From responses to models: a tolerant reader.

It reads flat objects, objects wrapped in `{success, data, …}`, and the field names that servers of this
family are known to use. Whatever else comes with a success status is an InvalidResponseError.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic import ValidationError as ModelError
from pydantic_core import from_json

from neurograph._protocol.failures import failure
from neurograph._protocol.frames import FrameSplitter, is_frame, read_frame
from neurograph._protocol.vectors import Vectors
from neurograph._wirekit.line_splitter import LineSplitter
from neurograph.exceptions import InvalidResponseError
from neurograph.models import (
    APIKey,
    APIKeyCreated,
    CDNAExport,
    CDNAHistory,
    CDNAProfile,
    CDNAProfiles,
    CDNAQuarantine,
    CDNAState,
    CDNAStatus,
    CDNASwitch,
    CDNAValidation,
    DeletedTokens,
    EventTicket,
    GridDensity,
    GridInfo,
    GridNeighbor,
    GridRange,
    GridStatus,
    GridTokenAdded,
    GridTokensAdded,
    HealthStatus,
    LoginResponse,
    ServerLimits,
    SystemStatus,
    Token,
    TokenPage,
    TokenQueryResult,
    User,
)
from neurograph.wire import Response

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
# Characters of a secret shown as its prefix when the server names none.
_PREFIX_CHARACTERS = 12

#: The code of the error for an answer above the limit of the client.
RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE"


def token(response: Response) -> Token:
    """Return one token."""
    return _token(response, _object(response, "id", "token_id"))


def tokens(response: Response) -> list[Token]:
    """Return a list of tokens, in the order sent."""
    _, rows = _rows(response, "tokens", "items")
    return [_token(response, row) for row in rows]


def token_ids(response: Response) -> list[int]:
    """Return the ids of a list of tokens, in the order sent, without a look at the rest of them."""
    _, rows = _rows(response, "tokens", "items")
    try:
        ids = [row["id"] if "id" in row else row["token_id"] for row in rows]
    except (KeyError, TypeError) as error:
        raise _invalid(response, "some of the tokens have no id") from error
    if set(map(type, ids)) - {int}:
        raise _invalid(response, "some of the ids are no whole numbers")
    return ids


def token_page(limit: int, offset: int) -> Callable[[Response], TokenPage]:
    """Read a page of tokens that was asked for with this limit and offset."""

    def decode(response: Response) -> TokenPage:
        holder, rows = _rows(response, "tokens", "items")
        page = [_token(response, row) for row in rows]
        return TokenPage(page, total=_total(holder), limit=limit, offset=offset)

    return decode


def hits(response: Response) -> list[TokenQueryResult]:
    """Return the hits of a query, best first as sent."""
    _, rows = _rows(response, "results", "matches")
    return [_hit(response, row) for row in rows]


def token_piece(response: Response) -> list[Token]:
    """Return the tokens of one piece of a stream: that of a line, or those of a frame."""
    return [_token(response, row) for row in _piece(response, "id", "token_id")]


def hit_piece(response: Response) -> list[TokenQueryResult]:
    """Return the hits of one piece of a stream."""
    return [_hit(response, row) for row in _piece(response, "token")]


def hit_lists(response: Response) -> list[list[TokenQueryResult]]:
    """Return the hits of many queries, in the order asked."""
    _, lists = _rows(response, "results")
    if not all(isinstance(rows, list) for rows in lists):
        raise _invalid(response, "the results are not lists of hits")
    return [[_hit(response, row) for row in rows] for rows in lists]


def event_ticket(response: Response) -> EventTicket:
    """Return a ticket for a stream of events."""
    return _model(response, EventTicket, _object(response, "ticket"))


def deleted(response: Response) -> DeletedTokens:
    """Return the outcome of a request to delete many tokens."""
    return _model(response, DeletedTokens, _object(response, "deleted"))


def limits(response: Response) -> ServerLimits:
    """Return the largest things that the server takes."""
    return _model(response, ServerLimits, _object(response, "max_batch", "max_body_bytes"))


def user(response: Response) -> User:
    """Return an account."""
    return _model(response, User, _object(response, "user_id", "username"))


def refuse_error(response: Response) -> None:
    """Pass a line of a stream that is no error.

    Raises:
        NeuroGraphError: the server put an error in the place of a line.
    """
    if b'"error"' in response.body:
        _body(response)


def itself(response: Response) -> Response:
    """Return the response, for those who read its body as it arrives."""
    return response


def unframed(response: Response) -> Response:
    """Return the response; of a vector frame the document as its body, with the rows beside it.

    Raises:
        InvalidResponseError: it says that it is a frame, and is none.
    """
    if response.rows is not None or response.chunks is not None or not _is_framed(response):
        return response
    try:
        document, rows = read_frame(response.body)
    except ValueError as error:
        raise _invalid(response, str(error)) from error
    return replace(response, body=document, rows=rows)


class Pieces:
    """Cuts a stream into the responses that its lines or frames are, each at most so many bytes."""

    def __init__(self, response: Response, most_bytes: int) -> None:
        self._response = replace(response, chunks=None)
        self._most_bytes = most_bytes
        self._pending = 0
        self._splitter: FrameSplitter | LineSplitter = FrameSplitter() if _is_framed(response) else LineSplitter()

    def feed(self, chunk: bytes) -> Iterator[Response]:
        """Yield the pieces that this chunk completes.

        Raises:
            InvalidResponseError: the stream is not what its media type says, or a piece of it is too large.
        """
        self._pending += len(chunk)
        for piece in self._whole(self._splitter.feed(chunk)):
            self._pending = len(chunk)
            yield piece
        if self._pending > self._most_bytes:
            raise too_large(self._response, self._most_bytes)

    def flush(self) -> Iterator[Response]:
        """Return the rest at the end of the stream.

        Raises:
            InvalidResponseError: the stream ended inside of a frame.
        """
        try:
            return self._whole(self._splitter.flush())
        except ValueError as error:
            raise _invalid(self._response, str(error)) from error

    def _whole(self, pieces: Iterable[bytes]) -> Iterator[Response]:
        try:
            for piece in pieces:
                yield unframed(replace(self._response, body=piece))
        except ValueError as error:
            raise _invalid(self._response, str(error)) from error


def vectors(response: Response) -> Vectors:
    """Return one vector per text, in the order asked."""
    _, rows = _rows(response, "embeddings")
    if response.rows is not None and all(type(row) is int for row in rows):
        try:
            return Vectors(packed=response.rows.block(rows), count=len(rows))
        except IndexError as error:
            raise _invalid(response, f"the frame has no row {error}") from error
    if not all(isinstance(row, list) and all(isinstance(x, (int, float)) for x in row) for row in rows):
        raise _invalid(response, "the embeddings are not lists of numbers")
    return Vectors(lists=rows)


def grid_status(response: Response) -> GridStatus:
    """Return the grids there are."""
    return _model(response, GridStatus, _object(response, "grids_count"))


def grid(response: Response) -> GridInfo:
    """Return one grid."""
    return _model(response, GridInfo, _object(response, "grid_id"))


def grid_token(response: Response) -> GridTokenAdded:
    """Return the token that was added to a grid."""
    return _model(response, GridTokenAdded, _object(response, "grid_id"))


def grid_tokens(response: Response) -> GridTokensAdded:
    """Return the outcome of adding many tokens to a grid."""
    return _model(response, GridTokensAdded, _object(response, "added"))


def grid_neighbors(response: Response) -> list[GridNeighbor]:
    """Return neighbours, nearest first as sent."""
    _, rows = _rows(response, "neighbors")
    return [_model(response, GridNeighbor, row) for row in rows]


def grid_range(response: Response) -> GridRange:
    """Return the tokens around a place; a server that sends all of them at once tells their number as `count`."""
    fields = _object(response, "results")
    fields.setdefault("total", fields.get("count"))
    return _model(response, GridRange, fields)


def grid_influence(response: Response) -> float:
    """Return the influence on a place."""
    value = _object(response, "influence").get("influence")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _invalid(response, f"the influence is {_kind(value)}")
    return float(value)


def grid_density(response: Response) -> GridDensity:
    """Return the density around a place."""
    return _model(response, GridDensity, _object(response, "density"))


def api_key(response: Response) -> APIKey:
    """Return one API key without its secret."""
    return _model(response, APIKey, _key_fields(_object(response, "key_id")))


def api_keys(response: Response) -> list[APIKey]:
    """Return API keys without their secrets."""
    _, rows = _rows(response, "api_keys", "keys")
    return [_model(response, APIKey, _key_fields(row)) for row in rows]


def created_api_key(response: Response) -> APIKeyCreated:
    """Return a new API key with its secret."""
    fields = _key_fields(_object(response, "key_id"))
    secret = _first(fields, "api_key", "key_secret", "key")
    fields["api_key"] = secret
    if fields.get("key_prefix") is None and isinstance(secret, str):
        fields["key_prefix"] = secret[:_PREFIX_CHARACTERS]
    return _model(response, APIKeyCreated, fields)


def login(response: Response) -> LoginResponse:
    """Return the tokens of a login or a refresh."""
    return _model(response, LoginResponse, _object(response, "access_token"))


def health(response: Response) -> HealthStatus:
    """Return whether the server is well."""
    return _model(response, HealthStatus, _object(response, "status"))


def status(response: Response) -> SystemStatus:
    """Return the contents and the resources of the server."""
    fields = _object(response, "api_version", "version")
    fields.setdefault("api_version", fields.get("version"))
    counted = fields.get("tokens")
    if isinstance(counted, dict):
        fields.setdefault("tokens_count", counted.get("total"))
    return _model(response, SystemStatus, {name: value for name, value in fields.items() if value is not None})


def cdna_status(response: Response) -> CDNAStatus:
    """Return scales and quarantine."""
    return _model(response, CDNAStatus, _object(response, "cdna"))


def cdna(response: Response) -> CDNAState:
    """Return scales and profile."""
    return _model(response, CDNAState, _object(response, "dimension_scales"))


def cdna_reset(response: Response) -> CDNAState:
    """Return the scales after a reset."""
    return _model(response, CDNAState, _object(response, "cdna").get("cdna"))


def cdna_profiles(response: Response) -> CDNAProfiles:
    """Return all profiles."""
    return _model(response, CDNAProfiles, _object(response, "profiles"))


def cdna_profile(response: Response) -> CDNAProfile:
    """Return one profile."""
    return _model(response, CDNAProfile, _object(response, "scales"))


def cdna_switch(response: Response) -> CDNASwitch:
    """Return the profiles before and after a switch."""
    return _model(response, CDNASwitch, _object(response, "new_profile"))


def cdna_validation(response: Response) -> CDNAValidation:
    """Return a check of scales."""
    return _model(response, CDNAValidation, _object(response, "valid"))


def cdna_quarantine(response: Response) -> CDNAQuarantine:
    """Return the quarantine."""
    return _model(response, CDNAQuarantine, _object(response, "active"))


def cdna_quarantine_started(response: Response) -> CDNAQuarantine:
    """Return the quarantine that has begun."""
    fields = _object(response, "duration")
    return _model(response, CDNAQuarantine, {**fields, "active": True, "time_left": fields.get("duration")})


def cdna_quarantine_stopped(response: Response) -> bool:
    """Return whether the changes of the quarantine were kept."""
    applied = _object(response, "applied").get("applied")
    if not isinstance(applied, bool):
        raise _invalid(response, "it does not tell whether the changes were applied")
    return applied


def cdna_history(response: Response) -> CDNAHistory:
    """Return the newest actions."""
    return _model(response, CDNAHistory, _object(response, "history"))


def cdna_export(response: Response) -> CDNAExport:
    """Return scales and actions to keep elsewhere."""
    return _model(response, CDNAExport, _object(response, "filename"))


def nothing(response: Response) -> bool:
    """Return True: the call has succeeded, and its body does not matter."""
    return True


def _body(response: Response) -> Any:
    try:
        body = from_json(response.body)
    except ValueError as error:
        raise _invalid(response, f"the body is not JSON: {error}") from error
    if isinstance(body, dict) and body.get("success") is False:
        raise failure(response)
    return body


def _unwrap(body: Any, wanted: tuple[str, ...]) -> Any:
    """Return the inside of an envelope, unless the wanted keys are already on top."""
    if isinstance(body, dict) and not any(name in body for name in wanted):
        inside = body.get("data")
        if isinstance(inside, (dict, list)):
            return inside
    return body


def _object(response: Response, *wanted: str) -> dict[str, Any]:
    found = _unwrap(_body(response), wanted)
    if not isinstance(found, dict):
        raise _invalid(response, f"expected a JSON object, found {_kind(found)}")
    return found


def _rows(response: Response, *names: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the object that holds a list (its own envelope when the list is bare), and the list."""
    body = _body(response)
    found = _unwrap(body, names)
    rows = _first(found, *names) if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise _invalid(response, f"expected a list under {' or '.join(map(repr, names))}, found {_kind(rows)}")
    if isinstance(found, dict):
        return found, rows
    return (body, rows) if isinstance(body, dict) else ({}, rows)


def _total(holder: dict[str, Any]) -> int | None:
    meta = holder.get("meta")
    for place in (holder, meta if isinstance(meta, dict) else {}):
        total = _first(place, "total", "count")
        if isinstance(total, int):
            return total
    return None


def _piece(response: Response, *wanted: str) -> list[Any]:
    found = _unwrap(_body(response), wanted)
    return found if isinstance(found, list) else [found]


def _token(response: Response, row: Any) -> Token:
    fields = _token_fields(row)
    if response.rows is None or not isinstance(fields, dict) or type(fields["embedding"]) is not int:
        return _model(response, Token, fields)
    try:
        packed = response.rows[fields["embedding"]]
    except IndexError as error:
        raise _invalid(response, f"the frame has no row {error}") from error
    token = _model(response, Token, {**fields, "embedding": []})
    token.hold(packed)
    return token


def _hit(response: Response, row: Any) -> TokenQueryResult:
    fields = _hit_fields(row)
    if isinstance(fields, dict) and isinstance(fields["token"], dict):
        fields["token"] = _token(response, fields["token"])
    return _model(response, TokenQueryResult, fields)


def _is_framed(response: Response) -> bool:
    return is_frame(response.headers.get("content-type", ""))


def _token_fields(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    fields = dict(row)
    _rename(fields, "token_id", "id")
    _rename(fields, "timestamp", "created_at")
    if fields.get("embedding") is None:
        fields["embedding"] = []
    if isinstance(fields.get("coordinates"), dict):
        fields["coordinates"] = _levels(fields["coordinates"])
    return fields


def _levels(coordinates: dict[str, Any]) -> dict[str, Any]:
    """Return the place in each level; the official server sends bare lists, and null for a level without a place."""
    return {
        name: {"position": place, "derived": False} if isinstance(place, list) else place
        for name, place in coordinates.items()
        if place is not None
    }


def _hit_fields(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    fields = dict(row)
    fields.setdefault("token", None)
    _rename(fields, "score", "similarity")
    return fields


def _key_fields(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    fields = dict(row)
    if "is_active" not in fields and isinstance(fields.get("disabled"), bool):
        fields["is_active"] = not fields["disabled"]
    if fields.get("scopes") is None:
        fields["scopes"] = []
    return fields


def _rename(fields: dict[str, Any], old: str, new: str) -> None:
    if new not in fields and old in fields:
        fields[new] = fields.pop(old)


def _first(fields: dict[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _model(response: Response, kind: type[M], fields: Any) -> M:
    try:
        return kind.model_validate(fields)
    except ModelError as error:
        raise _invalid(response, f"this is no {kind.__name__}: {summary(error)}") from error


def summary(error: ModelError) -> str:
    """Say where and why it failed, without the values: they may be secret."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(_problem(problem["loc"], problem["msg"]) for problem in problems[:3])


def _problem(place: Iterable[int | str], message: str) -> str:
    return f"{'.'.join(map(str, place)) or 'body'}: {message}"


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def too_large(response: Response, most_bytes: int) -> InvalidResponseError:
    """Return the error for an answer, or a piece of a stream, above the limit of the client."""
    return InvalidResponseError(
        f"The response to {response.request} is larger than {most_bytes} bytes, the max_response_bytes of this client. "
        "Ask for less (limit, top_k, include), or stream it; or allow more with max_response_bytes",
        status_code=response.status,
        error_code=RESPONSE_TOO_LARGE,
        request_id=response.request_id,
    )


def _invalid(response: Response, reason: str) -> InvalidResponseError:
    return InvalidResponseError(
        f"The server answered {response.status} to {response.request}, but {reason}. "
        "Does base_url name a NeuroGraph server?",
        status_code=response.status,
        request_id=response.request_id,
    )
