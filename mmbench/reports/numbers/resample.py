"""Resamples and signs over clusters, all or random, made in pieces so that many identities fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Counts = NDArray[np.unsignedinteger]
Signs = NDArray[np.int8]

PIECE = 1_000_000
"""Numbers of one piece, 8 MB."""

BLOCK = 1 << 18
"""Numbers that are converted at a time, 2 MB."""

KEPT = 1000
"""Clusters up to which a whole set is kept, in bytes: reports ask for the same one hundreds of times."""


def picks(n_clusters: int, seed: int, resamples: int) -> Iterator[Float64s]:
    """How often each cluster is drawn in each bootstrap resample: pieces of shape (R, G), `resamples` rows in all."""
    drawn = _kept_picks(n_clusters, seed, resamples) if n_clusters <= KEPT else _picks(n_clusters, seed, resamples)
    return _in_blocks(drawn)


def random_signs(n_clusters: int, seed: int, resamples: int) -> Iterator[Float64s]:
    """Random signs: pieces of shape (R, G) of +1 and -1, `resamples` rows in all."""
    drawn = _kept_signs(n_clusters, seed, resamples) if n_clusters <= KEPT else _signs(n_clusters, seed, resamples)
    return _in_blocks(drawn)


def _in_blocks(drawn: Iterable[NDArray[Any]]) -> Iterator[Float64s]:
    """The pieces as float64, in blocks that stay in a processor's cache: in twice the time they would go to memory."""
    for piece in drawn:
        rows = max(1, BLOCK // piece.shape[1])
        for start in range(0, len(piece), rows):
            yield piece[start : start + rows].astype(np.float64)


@lru_cache(maxsize=16)
def all_signs(n_clusters: int) -> Float64s:
    """All 2^G rows of +1/-1, shape (2^G, G)."""
    bits = (np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)) & 1
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)


@lru_cache(maxsize=4)
def _kept_picks(n_clusters: int, seed: int, resamples: int) -> tuple[Counts, ...]:
    return tuple(_picks(n_clusters, seed, resamples))


@lru_cache(maxsize=4)
def _kept_signs(n_clusters: int, seed: int, resamples: int) -> tuple[Signs, ...]:
    return tuple(_signs(n_clusters, seed, resamples))


def _picks(n_clusters: int, seed: int, resamples: int) -> Iterator[Counts]:
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if n_clusters < 2**8 else np.uint16 if n_clusters < 2**16 else np.uint32
    for count in _pieces(n_clusters, resamples):
        drawn = rng.integers(0, n_clusters, (count, n_clusters)) + n_clusters * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * n_clusters)
        yield counts.reshape(count, n_clusters).astype(dtype)


def _signs(n_clusters: int, seed: int, resamples: int) -> Iterator[Signs]:
    rng = np.random.default_rng(seed)
    for count in _pieces(n_clusters, resamples):
        yield (1 - 2 * rng.integers(0, 2, (count, n_clusters))).astype(np.int8)


def _pieces(n_clusters: int, resamples: int) -> Iterator[int]:
    most = max(1, PIECE // n_clusters)
    for start in range(0, resamples, most):
        yield min(most, resamples - start)
