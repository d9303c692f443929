"""The process of one attack: `python -m benchmarks.attack.attacker NAME TARGET.json`.

Prints `ready` when it is prepared, begins with the first line on standard input, prints its numbers with the second,
goes on, and ends with its input.
"""

import json
import os
import sys
from pathlib import Path
from typing import Final

from benchmarks.attack.attacks import ATTACKS, Tally, prepared
from benchmarks.attack.target import Target

# The prober shares a processor with the attack, and is to measure the server and not its own waiting.
_NICENESS: Final = 5


def main(arguments: list[str]) -> None:
    """Attack until the input ends."""
    os.nice(_NICENESS)
    target = Target.from_json(Path(arguments[1]).read_text(encoding="utf-8"))
    tally = Tally()
    begin = prepared(ATTACKS[arguments[0]], target, tally)
    print("ready", flush=True)
    sys.stdin.readline()
    begin()
    sys.stdin.readline()
    print(json.dumps(tally.taken()), flush=True)
    sys.stdin.read()
    # Threads and their connections end with the process.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
