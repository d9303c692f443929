"""Seeds: random unless the environment names one, and always printed."""

import os
import random
from typing import Final

VARIABLE: Final = "VECTROGRAPH_TORTURE_SEED"


def seed() -> int:
    """Return the seed of this run; a failing test shows it among its output."""
    chosen = int(os.environ.get(VARIABLE) or random.SystemRandom().randrange(10**9))
    print(f"{VARIABLE}={chosen}")
    return chosen
