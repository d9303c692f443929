"""Files that appear when they are complete."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def writing(target: str | os.PathLike[str] | BinaryIO) -> Generator[BinaryIO, None, None]:
    """Provide a binary file to write into.

    Args:
        target: an open file is handed through and stays open; a path is written beside its place and moved there at the
            end, so that a failure leaves what was there before.

    Raises:
        OSError: the file cannot be written.
    """
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    place = Path(target)
    part = place.with_name(f"{place.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
