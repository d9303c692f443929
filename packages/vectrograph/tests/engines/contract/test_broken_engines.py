"""The conformance suite has teeth: it fails on every one of the deliberately broken engines."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from vectrograph.engines.contract.broken import BROKEN, LIKELY

pytestmark = pytest.mark.slow

MODULE = """
import pytest
from vectrograph.engines.contract import EngineContract, LogRetentionContract
from vectrograph.engines.contract.broken import BROKEN, unbroken
from vectrograph.engines.reference import ReferenceEngine


def broken(engine):
    return {expression}


class TestIt(EngineContract):
    @pytest.fixture
    def engine(self):
        engine = broken(ReferenceEngine())
        yield engine
        engine.close()


class TestItsRetention(LogRetentionContract):
    @pytest.fixture
    def retaining(self):
        return lambda retention, clock: broken(ReferenceEngine(clock, retention))
"""


class Failures:
    """Hears which tests of the inner run fail; begins with the part that is likely to."""

    def __init__(self, likely: str) -> None:
        self._likely = likely
        self.failed: list[str] = []
        self.passed = 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Run the whole suite until something fails; likely failures come first."""
        items.sort(key=lambda item: self._likely not in (_module(item).rpartition(".")[2], _name(item)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test is over."""
        if report.failed:
            self.failed.append(f"{report.nodeid.rpartition('::')[2]} ({report.when})")
        self.passed += report.passed and report.when == "call"


def _module(item: pytest.Item) -> str:
    return item.function.__module__ if isinstance(item, pytest.Function) else ""


def _name(item: pytest.Item) -> str:
    return item.function.__name__ if isinstance(item, pytest.Function) else ""


def run_suite(directory: Path, name: str, expression: str) -> Failures:
    """Return the suite on one engine, up to the first failure, in this process."""
    # A name of its own: pytest does not import a module of the same name twice.
    module = directory / f"test_{name}.py"
    module.write_text(MODULE.format(expression=expression))
    heard = Failures(LIKELY.get(name, ""))
    options = ["-x", "-q", "-c", "/dev/null", f"--rootdir={directory}", "--import-mode=importlib", "--capture=no"]
    plugins = ["no:cacheprovider", "no:xdist", "no:timeout", "no:schemathesis", "no:pytest_cov", "no:benchmark"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        arguments = [*options, *(word for name in plugins for word in ("-p", name)), str(module)]
        pytest.main(arguments, plugins=[heard])
    return heard


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_engine_fails(tmp_path: Path, name: str) -> None:
    heard = run_suite(tmp_path, name, f"BROKEN[{name!r}](engine)")
    assert heard.failed
    assert heard.failed[0].endswith("(call)")


def test_the_wrapper_alone_fails_nothing(tmp_path: Path) -> None:
    """Or the others would prove nothing."""
    heard = run_suite(tmp_path, "unbroken", "unbroken(engine)")
    assert heard.failed == []
    assert heard.passed > 200
