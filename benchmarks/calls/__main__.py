"""Calls of the server's own functions behind one request of each kind: no time, so nothing that depends on the machine.

One server in this process on a temporary directory; the second request of each kind is counted.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.calls.counter import CallCounter
from benchmarks.calls.walks import walks
from vectrograph.inprocess import running


def main(given: Sequence[str]) -> int:
    """Print one line a request, and with `--functions N` the N functions that were called most."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="also the functions called most often")
    most = parser.parse_args(given).functions
    with CallCounter() as counter, running() as server, walks(server) as requests:
        for name, request in requests.items():
            request()
            counts = counter.calls_of(request)
            print(f"{name:<26}{counts.total():>8,}")
            for function, count in counts.most_common(most):
                print(f"    {count:>6,}  {function}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
