"""A counter of function calls in a server that runs inside this process."""

import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

import vectrograph

_OURS = str(Path(vectrograph.__file__).parent)
_GENERATED = "_pb"
# Threads that work by themselves, whether a request comes or not.
_UPKEEP = {
    "log-lines",
    "rpc-slow-bodies",
    "rpc-stalled-calls",
    "vectrograph-accounts-copy",
    "vectrograph-affinity",
    "vectrograph-audit",
    "vectrograph-connections",
    "vectrograph-index",
}


class CallCounter:
    """A block in which every thread that is started counts the calls of functions of the package `vectrograph`.

    A call is what the interpreter reports as one: a resumed generator, a comprehension, and the `__init__` that a
    dataclass is given count like functions. Code that protobuf generates, libraries, and threads that were started
    before the block do not. Start the server inside of the block.
    """

    def __init__(self) -> None:
        self._counting = False
        self._known: dict[CodeType, bool] = {}
        # One dictionary a thread, because adding to a shared one is two steps.
        self._counts: dict[int, Counter[CodeType]] = {}

    def __enter__(self) -> Self:
        threading.setprofile(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        threading.setprofile(None)

    def calls_of(self, act: Callable[[], object]) -> Counter[str]:
        """Do something, and return how often each function was called meanwhile, by file and name."""
        for counts in list(self._counts.values()):
            counts.clear()
        self._counting = True
        try:
            act()
        finally:
            self._counting = False
        total: Counter[str] = Counter()
        for counts in list(self._counts.values()):
            for code, count in list(counts.items()):
                name = f"{Path(code.co_filename).stem}.{getattr(code, 'co_qualname', code.co_name)}"
                total[name] += count
        return total

    def _begin(self, frame: FrameType, event: str, argument: Any) -> None:
        """Give a thread, at its first call, a function that counts for it alone."""
        if threading.current_thread().name in _UPKEEP:
            sys.setprofile(None)
            return
        counts = self._counts.setdefault(threading.get_ident(), Counter())
        known = self._known

        def count(frame: FrameType, event: str, argument: Any) -> None:
            if event != "call" or not self._counting:
                return
            code = frame.f_code
            ours = known.get(code)
            if ours is None:
                ours = known[code] = _is_ours(frame)
            if ours:
                counts[code] += 1

        sys.setprofile(count)


def _is_ours(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file == "<string>":
        return str(frame.f_globals.get("__name__", "")).startswith("vectrograph.")
    return file.startswith(_OURS) and _GENERATED not in Path(file).parts
