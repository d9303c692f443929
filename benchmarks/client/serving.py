"""Servers in processes of their own, so that only the client's processor time is counted."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.client import canned
from benchmarks.client.subjects import module_of

CANNED = "canned"


@contextmanager
def served(name: str, count: int = 0, dimension: int = 0) -> Iterator[str]:
    """Provide the address of a server that lives as long as the block.

    Args:
        name: a subject, or `CANNED`.
        count: vectors that it can be asked for.
        dimension: their components.
    """
    command = [sys.executable, "-m", "benchmarks.client.serving", name, str(count), str(dimension)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"the server of {name} did not start; its error is above")
        yield address
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def main(name: str, count: int, dimension: int) -> None:
    """Serve until standard input ends."""
    if name == CANNED:
        asyncio.run(_serve_canned())
        return
    with module_of(name).serve(name, count, dimension) as address:
        print(address, flush=True)
        sys.stdin.read()


async def _serve_canned() -> None:
    server = await canned.serve()
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
