"""One `seed` drives everything random; every use has its own named stream.

A stream depends on the seed, its name and its keys alone, so a new draw in one place (one more
simulated gene, one more epoch) changes no other. Streams follow `numpy.random.SeedSequence`: the
seed is the entropy, the name and the keys are the spawn key.
"""

import hashlib

import numpy as np


def _sequence(seed: int, name: str, *keys: int | float | str) -> np.random.SeedSequence:
    words = tuple(
        int.from_bytes(hashlib.sha256(f"{type(k).__name__}:{k}".encode()).digest()[:4], "little")
        for k in (name, *keys)
    )
    return np.random.SeedSequence(entropy=seed, spawn_key=words)


def stream(seed: int, name: str, *keys: int | float | str) -> np.random.Generator:
    """The random generator of one named use, e.g. `stream(0, "folds")` or `stream(0, "fraction",
    fold)`."""
    return np.random.default_rng(_sequence(seed, name, *keys))


def stream_seed(seed: int, name: str, *keys: int | float | str) -> int:
    """The same stream as one 63-bit integer, for libraries that want a seed (torch, scikit-learn
    mod 2**32)."""
    return int(_sequence(seed, name, *keys).generate_state(1, np.uint64)[0] >> np.uint64(1))
