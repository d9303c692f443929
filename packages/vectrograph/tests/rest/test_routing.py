"""Unknown paths, wrong methods, HEAD, slashes: always the envelope, never a redirect."""

import httpx2
import pytest
from rest.envelope import error_of
from rest.serving import Served

from vectrograph.rest.routes import OPERATIONS

PATHS = sorted({operation.path for operation in OPERATIONS})
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
WRONG = sorted({(method, path) for method in METHODS for path in PATHS} - {(op.method, op.path) for op in OPERATIONS})


def concrete(path: str) -> str:
    return path.replace("{token_id}", "1").replace("{key_id}", "abc")


@pytest.mark.parametrize("path", ["/nowhere", "/api", "/api/v1", "/api/v1/", "/api/v2/tokens", "/metrics", "/redoc"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_paths_are_404(developer: httpx2.Client, method: str, path: str) -> None:
    error_of(developer.request(method, path), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("path", ["//", "/./livez", "/x/../livez", "/%2e%2e/livez", "/livez%00", "/livez%2f"])
def test_unusual_paths_are_taken_as_they_are(served: Served, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = served.exchange(request.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"ROUTE_NOT_FOUND" in answer


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/"])
def test_a_trailing_slash_is_another_path_and_never_redirects(developer: httpx2.Client, path: str) -> None:
    for method in ("GET", "POST"):
        error_of(developer.request(method, concrete(path) + "/"), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize(("method", "path"), WRONG)
def test_a_wrong_method_is_405_and_lists_the_right_ones(anonymous: httpx2.Client, method: str, path: str) -> None:
    methods = {operation.method for operation in OPERATIONS if operation.path == path}
    response = anonymous.request(method, concrete(path))
    error_of(response, 405, "METHOD_NOT_ALLOWED")
    expected = methods | ({"HEAD"} if "GET" in methods else set())
    assert set(response.headers["allow"].split(", ")) == expected


def test_a_preflight_gets_no_permission(anonymous: httpx2.Client) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = anonymous.options("/api/v1/tokens", headers=headers)
    error_of(response, 405, "METHOD_NOT_ALLOWED")
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/docs", "/openapi.json", "/api/v1/health", "/api/v1/tokens"]
)
def test_head_answers_like_get_without_a_body(developer: httpx2.Client, path: str) -> None:
    head, get = developer.head(path), developer.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_of_a_route_without_get_is_405(anonymous: httpx2.Client) -> None:
    assert anonymous.head("/api/v1/auth/login").status_code == 405


def test_fixed_paths_are_not_taken_for_ids(developer: httpx2.Client) -> None:
    for path in ("/api/v1/tokens/query", "/api/v1/tokens/batch"):
        response = developer.get(path)
        error_of(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == "POST"


def test_what_is_no_http_is_refused(served: Served) -> None:
    assert served.exchange(b"\x16\x03\x01 nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
