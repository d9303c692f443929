"""Write every generated file, or with `--check` fail when one is stale or has lost its source."""

import argparse
import sys
from pathlib import Path

import access_page
import api_page
import private_copies
import protogen
import protostructs
import unasync
from vectrograph.settings import settings_table

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
_MARK = "<!-- generated from vectrograph.settings by tools/generate.py; do not edit below -->\n"


def main() -> int:
    """Generate or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail when something is stale")
    if not parser.parse_args().check:
        protogen.write()
        protostructs.write()
        private_copies.write()
        unasync.write()
        access_page.write()
        api_page.write()
        SETTINGS_PAGE.write_text(_settings_page(), encoding="utf-8")
        return 0
    problems = [
        *protogen.check(),
        *protostructs.check(),
        *private_copies.check(),
        *unasync.check(),
        *_check_settings(),
        *access_page.check(),
        *api_page.check(),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("Run `make generate` and commit the result.", file=sys.stderr)
    return bool(problems)


def _settings_page() -> str:
    head, mark, _ = SETTINGS_PAGE.read_text(encoding="utf-8").partition(_MARK)
    if not mark:
        raise SystemExit(f"{SETTINGS_PAGE} has lost its marker line: {_MARK.strip()}")
    return head + mark + "\n" + settings_table()


def _check_settings() -> list[str]:
    fresh = SETTINGS_PAGE.read_text(encoding="utf-8") == _settings_page()
    return [] if fresh else [f"stale: {SETTINGS_PAGE.relative_to(ROOT)} differs from vectrograph.settings"]


if __name__ == "__main__":
    sys.exit(main())
