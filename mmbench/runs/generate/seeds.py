"""One seed for each video, the same for every model, on every machine, in every order."""

from __future__ import annotations

from mmbench.files import sha256


def seed_for(base: int, identity: str, prompt: str) -> int:
    """Seed of 32 bits from the run's base seed, the identity's name and the prompt's id.

    The first four bytes, big-endian, of the sha256 of `base|identity|prompt`: models are compared on equal
    seeds, and a video's seed depends neither on the other videos of the run nor on how it is split among
    machines.
    """
    return int(sha256(f"{base}|{identity}|{prompt}".encode())[:8], 16)
