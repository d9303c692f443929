"""The documentation page works offline, under its own content security policy, on nothing but the OpenAPI document."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx2
import pytest


@pytest.fixture(scope="module")
def page(anonymous: httpx2.Client) -> httpx2.Response:
    response = anonymous.get("/docs")
    assert response.status_code == 200
    return response


class Collected(HTMLParser):
    """Elements and attributes of a page, with the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self._open in self.inside:
            self.inside[self._open].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def test_it_is_html_in_utf8(page: httpx2.Response) -> None:
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")


@pytest.mark.parametrize("tag", ["script", "style"])
def test_the_policy_allows_exactly_the_scripts_and_styles_in_it(page: httpx2.Response, tag: str) -> None:
    policy = page.headers.get_list("content-security-policy")
    assert len(policy) == 1
    directives = dict(part.strip().split(" ", 1) for part in policy[0].split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["connect-src"] == "'self'"
    parts = Collected(page.text).inside[tag]
    assert len(parts) == 1
    digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts]
    assert directives[f"{tag}-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)


def test_nothing_in_it_needs_more_than_the_policy_allows(page: httpx2.Response) -> None:
    attributes = Collected(page.text).attributes
    assert not [item for item in attributes if item[1] == "style" or item[1].startswith("on") or item[1] == "src"]
    assert all(value.startswith("/") for _, name, value in attributes if name == "href")
    assert not re.findall(r"https?:|//[a-z]+\.|innerHTML|insertAdjacentHTML|document\.write|\beval\b", page.text)


def test_it_reads_the_document_and_shows_what_is_in_it(page: httpx2.Response) -> None:
    script = Collected(page.text).inside["script"][0]
    assert 'fetch("openapi.json")' in script
    for part in ("requestBody", "responses", "parameters", "security", "examples", "operationId"):
        assert part in script
