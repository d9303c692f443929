"""The library is refused when it is missing or of another format; an instruction set can be forced."""

import subprocess
import sys
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

import pytest

from vectrograph.engines.embedded.kernel import library as module
from vectrograph.engines.embedded.kernel.library import (
    KernelUnavailable,
    QueryStruct,
    instruction_set,
    instruction_sets,
    library,
    use_instruction_set,
)
from vectrograph.engines.embedded.kernel.search import _QUERY


@pytest.fixture
def unloaded() -> Iterator[None]:
    """Load the library anew in the test, and after it."""
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.mark.usefixtures("unloaded")
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "LIBRARY", tmp_path / "_kernel.so")
    with pytest.raises(KernelUnavailable, match=r"_kernel\.so cannot be loaded .* install vectrograph anew"):
        library()


@pytest.mark.usefixtures("unloaded")
def test_a_library_of_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORMAT", 2)
    with pytest.raises(KernelUnavailable, match="is of format 1, not 2"):
        library()


@pytest.mark.usefixtures("unloaded")
def test_a_foreign_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARY", find_library("m"))
    with pytest.raises(KernelUnavailable, match="has no function vgk_format"):
        library()


def test_a_query_is_packed_as_it_is_laid_out() -> None:
    values = range(1, len(QueryStruct._fields_) + 1)
    packed = QueryStruct.from_buffer_copy(_QUERY.pack(*values))
    assert [getattr(packed, name) for name, _ in QueryStruct._fields_] == list(values)


def test_the_fastest_path_is_used_and_every_one_can_be_forced() -> None:
    fastest = instruction_set()
    assert fastest == instruction_sets()[-1]
    assert "portable" in instruction_sets()
    try:
        for name in instruction_sets():
            use_instruction_set(name)
            assert instruction_set() == name
    finally:
        use_instruction_set(fastest)


def test_an_unknown_path_is_refused_with_those_there_are() -> None:
    with pytest.raises(KernelUnavailable, match=r"'mmx' is not to be had on this processor; there are: portable"):
        use_instruction_set("mmx")


@pytest.mark.parametrize(("forced", "said"), [("portable", "portable\n"), ("mmx", "instruction set 'mmx'")])
def test_the_environment_forces_a_path(forced: str, said: str) -> None:
    program = "from vectrograph.engines.embedded.kernel.library import instruction_set; print(instruction_set())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"VECTROGRAPH_INSTRUCTION_SET": forced, "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert said in done.stdout + done.stderr
