"""Seeds of the parts of a simulated data set."""

import hashlib


def trajectory_seed(seed: int, split: str, index: int) -> int:
    """The seed of one trajectory, 64 bits, from those of the data set, its split and its place.

    It depends on nothing else, so a trajectory does not depend on how many there are.
    """
    digest = hashlib.sha256(f"{seed}/{index}/{split}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
