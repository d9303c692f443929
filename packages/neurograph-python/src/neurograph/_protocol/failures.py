"""From an error response to the exception that stands for it.

Understood are the error object of this API, and the other shapes in which servers and the proxies before
them put an
error: `{"error": "text"}`, `{"detail": text | list | object}`, a flat `{code, message, details}`, RFC
9457 problem documents, plain text, HTML, and nothing at all.
"""

import html
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic_core import from_json

from neurograph._wirekit.retry_after import parse_retry_after
from neurograph._wirekit.secrets import hide
from neurograph.exceptions import NeuroGraphError, error_class
from neurograph.wire import Response

# Characters of a page that is no JSON that a message repeats: a few lines of a terminal.
_MAX_TEXT_CHARACTERS = 300
# Statuses of the codes in frames of a stream of events; a name that ends in _NOT_FOUND has 404.
_STATUS_OF_CODE = {
    "AUTHENTICATION_REQUIRED": 401,
    "INVALID_CREDENTIALS": 401,
    "INVALID_TOKEN": 401,
    "TOKEN_EXPIRED": 401,
    "INVALID_API_KEY": 401,
    "PERMISSION_DENIED": 403,
    "COLLECTION_RESERVED": 409,
    "CONFLICT": 409,
    "IDEMPOTENCY_KEY_REUSED": 409,
    "QUOTA_EXCEEDED": 409,
    "RESOURCE_ALREADY_EXISTS": 409,
    "POSITION_EXPIRED": 410,
    "REQUEST_TOO_LARGE": 413,
    "VALIDATION_ERROR": 422,
    "RATE_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "COLLECTION_QUARANTINED": 503,
    "SERVER_STOPPING": 503,
    "SERVICE_UNAVAILABLE": 503,
    "STORAGE_READ_ONLY": 503,
    "DEADLINE_EXCEEDED": 504,
    "OUT_OF_SPACE": 507,
}
_EPOCH = 1e9  # a rate-limit reset above this is a date, below it a number of seconds


@dataclass(slots=True)
class _Story:
    """Content of an error body."""

    message: str | None = None
    code: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None


def failure(response: Response, secrets: tuple[str, ...] = ()) -> NeuroGraphError:
    """Return the exception for a response that is no success.

    Args:
        response: any status; a success status with `success: false` in its body gives the base class.
        secrets: what must not appear in the exception, should the server echo it.
    """
    story = _read(response)
    message = story.message or f"{response.status} {_phrase(response.status)} in answer to {response.request}"
    if response.status in range(300, 400):
        place = response.headers.get("location", "elsewhere")
        message = f"The server redirects {response.request} to {place}; set base_url to where the API really is"
    return error_class(response.status)(
        hide(message, secrets),
        status_code=response.status,
        error_code=hide(story.code, secrets),
        details=hide(story.details, secrets),
        retry_after=_retry_after(response, story.details),
        request_id=hide(story.request_id or response.request_id, secrets),
    )


def ended(frame: Mapping[str, Any], *, passing: bool = False) -> NeuroGraphError:
    """Return the exception for a frame that ends a stream of events.

    Args:
        frame: its fields.
        passing: whether errors that usually go away are retryable; else only when the server asks to come back.
    """
    code = _text(frame.get("code"))
    status = 404 if (code or "").endswith("_NOT_FOUND") else _STATUS_OF_CODE.get(code or "", 0)
    details = frame.get("details")
    told = frame.get("retry_after")
    return error_class(status)(
        _text(frame.get("message")) or "The server has ended the stream of events",
        error_code=code,
        details=details if isinstance(details, dict) else {},
        retry_after=parse_retry_after(str(told)) if isinstance(told, (int, float)) else None,
        retryable=frame.get("reconnect") is True or (passing and error_class(status)("", status_code=status).retryable),
    )


def _read(response: Response) -> _Story:
    try:
        body = from_json(response.body)
    except ValueError:
        return _Story(_prose(response))
    if not isinstance(body, dict):
        return _Story(_text(body))
    error = body.get("error")
    if isinstance(error, dict):
        return _from_object(error)
    if isinstance(error, str) and not isinstance(body.get("message"), str):
        return _from_object({**body, "message": error})
    if "detail" in body:
        return _from_detail(body)
    return _from_object(body)


def _from_object(error: Mapping[str, Any]) -> _Story:
    details = error.get("details")
    code = error.get("code", error.get("error_code"))
    return _Story(
        message=_text(error.get("message", error.get("title"))),
        code=None if code is None else str(code),
        details=details if isinstance(details, dict) else {} if details is None else {"details": details},
        request_id=_text(error.get("request_id")),
    )


def _from_detail(body: Mapping[str, Any]) -> _Story:
    """Bodies of FastAPI (`detail` is text, a list of problems or an object) and RFC 9457 (`title`, `detail`, …)."""
    detail, outer = body["detail"], _from_object(body)
    if isinstance(detail, dict):
        inner = _from_object(detail)
        facts = {
            name: value for name, value in detail.items() if name not in ("message", "code", "error_code", "details")
        }
        return _Story(inner.message or outer.message, inner.code or outer.code, {**facts, **inner.details})
    if isinstance(detail, list):
        problems = [_field_problem(problem) for problem in detail]
        summary = "; ".join(f"{problem['field']}: {problem['message']}" for problem in problems)
        return _Story(outer.message or summary, outer.code, {"errors": problems, "count": len(problems)})
    return _Story(_text(detail) or outer.message, outer.code, outer.details, outer.request_id)


def _field_problem(problem: Any) -> dict[str, str]:
    if not isinstance(problem, dict):
        return {"field": "body", "message": str(problem), "type": "value_error"}
    place = problem.get("loc", problem.get("field", "body"))
    return {
        "field": ".".join(map(str, place)) if isinstance(place, (list, tuple)) else str(place),
        "message": str(problem.get("msg", problem.get("message", "is wrong"))),
        "type": str(problem.get("type", "value_error")),
    }


def _prose(response: Response) -> str | None:
    """Return the readable part of a body that is no JSON, such as a proxy's error page."""
    text = response.body[: 20 * _MAX_TEXT_CHARACTERS].decode("utf-8", "replace")
    if "<" in text:
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = html.unescape(title.group(1) if title else re.sub(r"<[^>]*>", " ", text))
    return _text(" ".join(text.split()))


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 10 * _MAX_TEXT_CHARACTERS else text[: 10 * _MAX_TEXT_CHARACTERS] + "…"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "status"


def _retry_after(response: Response, details: Mapping[str, Any]) -> float | None:
    """Return seconds to wait: the header first, then the body, then the reset time of a rate limiter."""
    told = parse_retry_after(response.headers.get("retry-after"))
    if told is None and isinstance(details.get("retry_after"), (int, float, str)):
        told = parse_retry_after(str(details["retry_after"]))
    if told is None and response.status == HTTPStatus.TOO_MANY_REQUESTS:
        headers = response.headers
        told = parse_retry_after(headers.get("ratelimit-reset", headers.get("x-ratelimit-reset")))
        if told is not None and told > _EPOCH:
            told = max(0.0, told - time.time())
    return told
