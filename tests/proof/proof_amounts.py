"""How much of the proofs a run does: a spread part in the gate, all of it with ROBOTD_PROOF=full, as `make prove` does.

What is drawn by chance comes from one seed. It is told where something fails, and ROBOTD_PROOF_SEED repeats it.
"""

import os
import random

FULL = os.environ.get("ROBOTD_PROOF") == "full"
SEED = int(os.environ.get("ROBOTD_PROOF_SEED") or random.SystemRandom().randrange(2**32))


def dice(*about: object) -> random.Random:
    """Chance for one purpose: the same seed and the same words give the same."""
    return random.Random(f"{SEED} {about}")
