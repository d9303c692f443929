"""Placement of threads on processor cores, as the parts of a server ask for it."""

from collections.abc import Callable


class ThreadPlacement:
    """A placement that leaves every thread to the operating system.

    `vectrograph.process.affinity.CpuAffinity` pins threads. What starts threads of a server is given one of the two.
    """

    def pin(self) -> None:
        """Run the calling thread, and those it starts from now on, on the core that runs Python."""

    def unpin(self) -> None:
        """Let the calling thread run on every core of the process, whichever thread started it."""

    def run_pinned(self, function: Callable[[], object]) -> None:
        """Call a function, and let the threads that it or a library starts run on the core that runs Python.

        What it raises is raised here.
        """
        function()

    def before_native_work(self, seconds: float) -> None:
        """Move the calling thread, if it is pinned, to where its next work belongs: long native work to any core.

        Args:
            seconds: estimated duration of the work outside of Python.
        """
