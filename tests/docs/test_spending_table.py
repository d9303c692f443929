"""The table of resource limits in SECURITY.md agrees with the settings, constants and tests."""

import importlib
import re
from pathlib import Path
from typing import Final

import pytest

from vectrograph.settings import Settings

ROOT: Final = Path(__file__).parents[2]
BEGIN: Final = "## Resource limits\n"
RESOURCES: Final = ["Memory", "Disk", "File descriptors and connections", "Threads", "CPU and time", "Log lines"]
UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "s": 1, "": 1}
CONSTANT: Final = re.compile(r"([\d,]+)(?: (KiB|MiB|s))? \(`([a-z_/]+)\.py::(\w+)`\)")
IS_LIMIT: Final = re.compile(r"max_|.*_limit$|.*_bytes$|.*_seconds$|.*_threads$|rate_limit$")


def section() -> str:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == 1
    return text.split(BEGIN)[1].split("\n## ")[0]


def rows() -> list[list[str]]:
    """Cells of every row: resource, caller, limit, test."""
    lines = [line for line in section().splitlines() if line.startswith("| ") and not line.startswith("| resource ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_there_is_a_part_for_each_resource_and_a_limit_and_a_test_in_each_row() -> None:
    assert re.findall(r"^### (.+)$", section(), re.MULTILINE) == RESOURCES
    assert len(rows()) > 40
    for row in rows():
        assert len(row) == 4, row
        assert re.match("(anonymous|viewer|developer|operator)", row[1]), row
        assert "::test_" in row[3], row


def test_every_limit_among_the_settings_is_in_the_table_and_every_setting_there_exists() -> None:
    named = {name for row in rows() for name in re.findall(r"`([a-z_]+)`", row[2])}
    assert named <= Settings.model_fields.keys()
    assert {name for name in Settings.model_fields if IS_LIMIT.match(name)} <= named


def test_every_constant_is_what_the_table_says() -> None:
    found = [each for row in rows() for each in CONSTANT.findall(row[2])]
    assert len(found) == sum(row[2].count(".py::") for row in rows()) > 30
    for number, unit, path, name in found:
        module = importlib.import_module(f"vectrograph.{path.replace('/', '.')}")
        assert getattr(module, name) == int(number.replace(",", "")) * UNITS[unit], (path, name)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_test_exists(row: list[str]) -> None:
    for path, name in re.findall(r"`([\w/.-]+)::(\w+)`", row[3]):
        assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (path, name)
