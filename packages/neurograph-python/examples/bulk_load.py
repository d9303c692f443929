"""Load a large file of JSON lines: bounded memory, progress, and the refused lines kept for another try.

Run it against a server in development mode: `python bulk_load.py [FILE]`. Without a file it makes one up. Stop a load
of a file and start it again: it goes on where it was.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurograph import NeuroGraphClient


def made_up() -> Iterator[dict[str, Any]]:
    """Yield a thousand good lines, and one that no server takes."""
    for number in range(1000):
        yield {"text": f"paragraph {number}", "metadata": {"number": number}}
    yield {"text": ""}


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield one token per line; read as it is needed, never as a whole."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def main() -> None:
    """Load, and say what became of it."""
    path = Path(sys.argv[1]) if len(sys.argv) == 2 and sys.argv[1].endswith(".jsonl") else None
    with NeuroGraphClient(username="developer", password="developer123") as client:  # noqa: S106
        result = client.tokens.create_many(
            made_up() if path is None else lines_of(path),
            journal=None if path is None else path.with_suffix(".journal"),
            on_error="collect",
            keep_tokens=False,
            progress=lambda done, total: print(f"\r{done} items", end="", flush=True),
        )
        refused = len(result.failed)
        print(f"\ncreated {len(result.created_ids)} tokens, {refused} item{'' if refused == 1 else 's'} was refused")
        for failure in result.failed:
            print(f"  line {failure.index + 1}: {failure.error}")


if __name__ == "__main__":
    main()
