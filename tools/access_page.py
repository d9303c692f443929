"""Write the page of permissions from the table with which a test checks the running server."""

import sys
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "access.md"
_HEAD: Final = """# Permissions of each role

This table has every route and method of the server, and the roles that may call it. A test
(`tests/security/test_authorisation_table.py`) gets the list from the running server and calls each entry with the
credentials of each role. It fails if an entry is missing here or behaves differently. An API key never has more rights
than its scopes, and never more than its account.

- *anonymous*: a caller without credentials.
- *bot*: an account or key with the scopes tokens:write, health:read and status:read.
- *own*: allowed for the caller's own account, keys or sessions; those of others look like ones that do not exist. An
  administrator of the tenant `default` can read, revoke and delete the keys of all accounts.
- *secret*: allowed for callers who send the correct password, token or key.

<!-- generated from tests/security/test_authorisation_table.py by tools/generate.py; do not edit -->

"""
# Rows that the test has as "nobody", because it sends wrong secrets: the least role that may call with correct ones.
_WITH_CORRECT_SECRETS: Final = {
    "POST /v1/users/login": "anyone",
    "vectron.auth.v1.AuthService/Login": "anyone",
    "POST /v1/auth/refresh": "bot",
    "vectron.auth.v1.AuthService/RefreshToken": "bot",
    "DELETE /v1/keys/{key_prefix}": "developer",
    "vectron.auth.v1.AuthService/DeleteAPIKey": "developer",
    "vectron.auth.v1.AuthService/CreateSDKJWT": "developer",
}
_SECRETS: Final = ("/login", "/Login", "/auth/refresh", "/keys/validate", "/ValidateAPIKey")
_OWN: Final = ("/auth/", "/api-keys", "/v1/keys", "/v1/user/", "/v1/sdk-jwt", "AuthService/", "UserProfile")


def page() -> str:
    """Return the page as it should be."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from tests.security.test_authorisation_table import BOT, NOBODY_LESS_THAN, ROLES, TABLE

    return _HEAD + table(TABLE, BOT, ROLES, NOBODY_LESS_THAN)


def table(rows: Mapping[str, str], bots: Set[str], roles: Iterable[str], ranks: Mapping[str, int]) -> str:
    """Return a Markdown table: a row an action, a column a role.

    Args:
        rows: the least role of each action.
        bots: what a bot may do besides.
        roles: in the order of their ranks.
        ranks: number of each least role.

    >>> print(table({"GET /": "viewer"}, set(), ["anonymous", "viewer"], {"viewer": 1}), end="")
    | action | anonymous | viewer |
    |---|---|---|
    | `GET /` | | yes |
    """
    names = list(roles)
    lines = [f"| action | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for action in sorted(rows):
        least = ranks[_WITH_CORRECT_SECRETS.get(action, rows[action])]
        word = _word(action, least)
        cells = [
            f" {word} |" if rank >= least or (role == "bot" and action in bots) else " |"
            for rank, role in enumerate(names)
        ]
        lines.append(f"| `{action}` |{''.join(cells)}")
    return "\n".join(lines) + "\n"


def _word(action: str, least: int) -> str:
    if action.endswith(_SECRETS):
        return "secret"
    return "own" if least and any(part in action for part in _OWN) else "yes"


def check() -> list[str]:
    """Return the reason why the page is stale; nothing when it is fresh."""
    fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
    return [] if fresh else [f"stale: {PAGE.relative_to(ROOT)} differs from the table of the authorisation test"]


def write() -> None:
    """Write the page anew."""
    PAGE.write_text(page(), encoding="utf-8")
