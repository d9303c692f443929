"""The page at /docs: one file of our own that shows /openapi.json, with nothing fetched from elsewhere.

Its content security policy allows exactly the script and the style that are in it, by their hashes.
"""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from vectrograph.http.context import Context, Page


def documentation_page(_: Context, __: None) -> Page:
    """Answer GET /docs."""
    return _page()


@cache
def _page() -> Page:
    text = files("vectrograph.rest").joinpath("docs.html").read_text(encoding="utf-8")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(text, 'script')}",
            f"style-src {_hashes(text, 'style')}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return Page(text.encode(), "text/html; charset=utf-8", (("Content-Security-Policy", policy),))


def _hashes(text: str, tag: str) -> str:
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
