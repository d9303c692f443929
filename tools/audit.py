"""Ask the OSV database (https://osv.dev) whether anything in requirements/dev.lock has a known vulnerability.

Three ways: the public service; another address that speaks its language, such as a mirror (`--service URL`, or the
variable OSV_URL); or a copy of its PyPI advisories as it exports them, a zip file or a directory of JSON files, for
where there is no network (`--export PATH`).

Where nobody can be asked nothing is known, and that is what is said: the exit status is 2, or 0 with
`--unless-unreachable`, which a gate without a network uses; in both cases in words that cannot be overlooked.
"""

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name
from packaging.version import Version

LOCK: Final = Path(__file__).resolve().parent.parent / "requirements" / "dev.lock"
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
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--service", default=os.environ.get(SERVICE_VARIABLE, SERVICE), help="address to ask")
    source.add_argument("--export", type=Path, help="zip file or directory of advisories to look through instead")
    parser.add_argument("--lock", type=Path, default=LOCK, help="file of pinned requirements")
    given = parser.parse_args(arguments)
    packages = pinned(given.lock.read_text(encoding="utf-8"))
    try:
        found = vulnerabilities(packages, given.service) if given.export is None else exported(packages, given.export)
    except Unreachable as error:
        print(
            f"DEPENDENCIES NOT AUDITED: the vulnerability database cannot be reached ({error}). Nothing is known about "
            f"the {len(packages)} packages of {given.lock.name}; run `make audit` where there is a network, or "
            "`make audit ARGS='--export FILE'` with a copy of its advisories.",
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
    """Return ids of the advisories for each package that has any.

    Raises:
        Unreachable: the database did not answer.
    """
    found: dict[tuple[str, str], list[str]] = {}
    open_questions = [(package, "") for package in packages]
    while open_questions:
        part, open_questions = open_questions[:_AT_ONCE], open_questions[_AT_ONCE:]
        for (package, asked), result in zip(part, _ask(part, service), strict=True):
            if advisories := [str(entry["id"]) for entry in result.get("vulns") or ()]:
                found.setdefault(package, []).extend(advisories)
            # A long answer comes in pages.
            page = str(result.get("next_page_token") or "")
            if page and page != asked:
                open_questions.append((package, page))
    return found


def exported(packages: Sequence[tuple[str, str]], export: Path) -> Mapping[tuple[str, str], list[str]]:
    """Do as `vulnerabilities`, from a copy of the database.

    Raises:
        Unreachable: there is no copy, or it holds no advisory.
    """
    wanted: dict[str, list[tuple[str, str]]] = {}
    for package in packages:
        wanted.setdefault(canonicalize_name(package[0]), []).append(package)
    found: dict[tuple[str, str], list[str]] = {}
    count = 0
    try:
        for advisory in _advisories(export):
            count += 1
            for affected in () if advisory.get("withdrawn") else advisory.get("affected", ()):
                about = affected.get("package", {})
                named = wanted.get(canonicalize_name(str(about.get("name", "")))) or ()
                for package in named if about.get("ecosystem") == "PyPI" else ():
                    if affects(affected, package[1]) and advisory["id"] not in found.setdefault(package, []):
                        found[package].append(str(advisory["id"]))
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise Unreachable(f"{export.name}: {type(error).__name__}") from error
    if not count:
        raise Unreachable(f"{export.name} holds no advisory")
    return {package: sorted(ids) for package, ids in found.items() if ids}


def affects(affected: Mapping[str, Any], version: str) -> bool:
    """Return whether an advisory is about a version: it lists it, or one of its ranges holds it.

    Rules: https://ossf.github.io/osv-schema/ (affected[].versions, affected[].ranges[].events).

    >>> affects({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}]}, "2.0.5")
    True
    >>> affects({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1"}, {"last_affected": "2.0"}]}]}, "2.0.5")
    False
    """
    if version in affected.get("versions", ()):
        return True
    mine = Version(version)
    return any(_holds(one["events"], mine) for one in affected.get("ranges", ()) if one["type"] != "GIT")


def _holds(events: Sequence[Mapping[str, str]], version: Version) -> bool:
    def at(event: Mapping[str, str]) -> Version:
        (value,) = event.values()
        return Version(value)

    inside = False
    for event in sorted((event for event in events if "limit" not in event), key=at):
        place = at(event)
        if "introduced" in event:
            inside = inside or version >= place
        elif "fixed" in event:
            inside = inside and version < place
        else:
            inside = inside and version <= place
    return inside


def _advisories(export: Path) -> Iterator[Mapping[str, Any]]:
    if export.is_dir():
        for path in sorted(export.glob("*.json")):
            yield json.loads(path.read_bytes())
        return
    with zipfile.ZipFile(export) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def _ask(questions: Sequence[tuple[tuple[str, str], str]], service: str) -> list[Mapping[str, Any]]:
    queries = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version} | ({"page_token": page} if page else {})
        for (name, version), page in questions
    ]
    request = urllib.request.Request(  # noqa: S310  (https, or what the operator names)
        service, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            results: list[Mapping[str, Any]] = json.load(answer)["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(type(error).__name__) from error
    if len(results) != len(questions):
        raise Unreachable("an answer of another length")
    return results


if __name__ == "__main__":
    sys.exit(main())
