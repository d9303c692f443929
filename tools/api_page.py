"""Write the table of routes in `docs/API.md` from the table that serves them."""

from pathlib import Path
from typing import Final

from vectrograph.http.operation import Access, Operation
from vectrograph.rest.routes import OPERATIONS

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "API.md"
MARK: Final = "<!-- generated from vectrograph.rest.routes by tools/generate.py; do not edit below -->\n"
_NEEDS: Final = {Access.PUBLIC: "public", Access.AUTHENTICATED: "credentials"}


def page() -> str:
    """Return the page as it should be: what was written by hand, and the table of today's routes.

    Raises:
        SystemExit: the page has lost the line below which the table begins.
    """
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE} has lost its marker line: {MARK.strip()}")
    rows = sorted((operation for operation in OPERATIONS), key=lambda each: (each.tag, each.path, each.method))
    lines = ["| route | what it does | needs | notes |", "|---|---|---|---|", *map(_row, rows)]
    return head + mark + "\n" + "\n".join(lines) + "\n"


def _row(operation: Operation) -> str:
    needs = _NEEDS.get(operation.access) if isinstance(operation.access, Access) else f"`{operation.access}`"
    notes = [operation.description] if operation.description else []
    if operation.idempotent_by_key:
        notes.append("Takes `Idempotency-Key`.")
    return f"| `{operation.method} {operation.path}` | {operation.summary} | {needs} | {' '.join(notes)} |"


def check() -> list[str]:
    """Return what is wrong with the page as it is; nothing when it is fresh."""
    fresh = PAGE.read_text(encoding="utf-8") == page()
    return [] if fresh else [f"stale: {PAGE.relative_to(ROOT)} differs from vectrograph.rest.routes"]


def write() -> None:
    """Write the page anew."""
    PAGE.write_text(page(), encoding="utf-8")
