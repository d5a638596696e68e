"""How big a figure is run: small in every check, whole with `HELI_REL_FULL=1`; and its seed, printed."""

import os
import random

IS_FULL = os.environ.get("HELI_REL_FULL") == "1"


def sized[T](small: T, full: T) -> T:
    """`full` when the whole figure was asked for."""
    return full if IS_FULL else small


def seeded(figure: str) -> random.Random:
    """A generator whose seed is printed; `REL_SEED=…` runs the same again."""
    seed = int(os.environ.get("REL_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"{figure}: REL_SEED={seed}")
    return random.Random(f"{figure}-{seed}")
