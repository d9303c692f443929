"""Shape of every error on the wire."""

from typing import Any

import httpx2


def error_of(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Return the `error` object of an answer, once the whole envelope has been checked."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"success", "error"}
    assert body["success"] is False
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"code", "message", "details", "request_id"}
    assert error["code"] == code
    assert error["message"]
    assert isinstance(error["details"], dict)
    assert error["request_id"] == response.headers["x-request-id"]
    assert response.headers["content-type"] == "application/json"
    return error


def field_error(response: httpx2.Response, field: str, kind: str | None = None) -> str:
    """Return the message of a 422 about one field."""
    error = error_of(response, 422, "VALIDATION_ERROR")
    assert error["details"]["count"] == len(error["details"]["errors"]) == 1
    (entry,) = error["details"]["errors"]
    assert entry.keys() == {"field", "message", "type"}
    assert entry["field"] == field, entry
    assert kind is None or entry["type"] == kind, entry
    return str(entry["message"])
