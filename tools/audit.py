"""Ask the OSV database (https://osv.dev) whether anything in requirements.lock has a known vulnerability.

Where the database cannot be reached nothing is known, and that is what is said: the exit status is 2, or 0 with
`--unless-unreachable`, which a gate without a network uses; in both cases in words that cannot be overlooked.
"""

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

LOCK: Final = Path(__file__).resolve().parent.parent / "requirements.lock"
SERVICE: Final = "https://api.osv.dev/v1/querybatch"
SERVICE_VARIABLE: Final = "OSV_URL"
_PINNED: Final = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_SECONDS: Final = 20.0
_AT_ONCE: Final = 500
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2


class Unreachable(Exception):
    """The database did not answer, or not in its own language."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit the lock; returns the exit status: 0 nothing is known, 1 something is, 2 nobody could be asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unless-unreachable", action="store_true", help="exit status 0 where OSV cannot be reached")
    parser.add_argument("--lock", type=Path, default=LOCK, help="file of pinned requirements")
    given = parser.parse_args(arguments)
    packages = pinned(given.lock.read_text(encoding="utf-8"))
    try:
        found = vulnerabilities(packages, os.environ.get(SERVICE_VARIABLE, SERVICE))
    except Unreachable as error:
        print(
            f"DEPENDENCIES NOT AUDITED: the vulnerability database cannot be reached ({error}). Nothing is known about "
            f"the {len(packages)} packages of {given.lock.name}; run `make audit` where there is a network.",
            file=sys.stderr,
        )
        return CLEAN if given.unless_unreachable else UNKNOWN
    for (name, version), advisories in sorted(found.items()):
        print(f"{name} {version}: {', '.join(advisories)}", file=sys.stderr)
    print(f"audited {len(packages)} packages of {given.lock.name}: {len(found)} with known vulnerabilities")
    return VULNERABLE if found else CLEAN


def pinned(lock: str) -> list[tuple[str, str]]:
    """Name and version of every requirement that a lock pins.

    >>> pinned("anyio==4.1 \\\\\\n    --hash=sha256:00\\nuvloop==0.2 ; sys_platform != 'win32'\\n# x==1")
    [('anyio', '4.1'), ('uvloop', '0.2')]
    """
    return [(match["name"], match["version"]) for match in _PINNED.finditer(lock)]


def vulnerabilities(packages: Sequence[tuple[str, str]], service: str) -> Mapping[tuple[str, str], list[str]]:
    """Ids of the advisories for each package that has any.

    Raises:
        Unreachable: the database did not answer.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for start in range(0, len(packages), _AT_ONCE):
        part = packages[start : start + _AT_ONCE]
        for package, result in zip(part, _ask(part, service), strict=True):
            if advisories := [str(entry["id"]) for entry in result.get("vulns") or ()]:
                found[package] = advisories
    return found


def _ask(packages: Sequence[tuple[str, str]], service: str) -> list[Mapping[str, Any]]:
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    request = urllib.request.Request(  # noqa: S310  (https, or what the operator names)
        service, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            results: list[Mapping[str, Any]] = json.load(answer)["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(type(error).__name__) from error
    if len(results) != len(packages):
        raise Unreachable("an answer of another length")
    return results


if __name__ == "__main__":
    sys.exit(main())
