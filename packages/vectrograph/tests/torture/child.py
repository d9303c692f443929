"""The process that dies: it tells a story to an engine, and each acknowledged step to its parent.

    python -m torture.child DIRECTORY SEED DISTANCE FIRST [POINT TURNS]

Lines on standard output: `open`, `step N CHECKSUM` once a step is acknowledged, `died POINT` right before the end.
"""

import os
import sys
import zlib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from torture.fault_points import Doom, armed
from torture.haste import hastened, open_hastily
from torture.seam import observed
from torture.sqlite_seam import vfs
from torture.story import Clock, Story, tell
from vectrograph.domain.collections import Distance
from vectrograph.domain.points import WriteResult


def checksum(result: WriteResult | None) -> int:
    """Of what a step answered, to compare it with what the model answers.

    Whether it was replayed is left out: a step under way when the process before died, one that deleted what was not
    there for instance, may have left nothing behind but its reply.
    """
    answer = None if result is None else replace(result, replayed=False)
    return zlib.crc32(repr(answer).encode())


def live(directory: Path, story: Story, first: int, doom: Doom | None) -> None:
    """Tell the story until the end comes from outside, or at the place that `doom` names."""
    clock = Clock(first)
    with ExitStack() as stack:
        name = None
        if doom is not None:
            stack.enter_context(armed(doom))
            seam = stack.enter_context(observed(directory, doom))
            name = stack.enter_context(vfs(seam))
        stack.enter_context(hastened())
        engine = open_hastily(directory, clock, vfs=name, reached=doom.stage if doom else lambda _: None)
        os.write(1, b"open\n")

        def told(number: int, result: WriteResult | None) -> bool:
            os.write(1, f"step {number} {checksum(result)}\n".encode())
            return doom is None or number < first + 100

        tell(engine, clock, story, first, told)
        engine.close()


if __name__ == "__main__":
    place, seed, distance, begin, *rest = sys.argv[1:]
    fate = Doom(rest[0], int(rest[1])) if rest else None
    live(Path(place), Story(int(seed), Distance(distance)), int(begin), fate)
