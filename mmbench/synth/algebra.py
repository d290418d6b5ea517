"""Small numeric pieces every module here shares: steps, rotations, colour curves, band-limited noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.float32]
C64 = NDArray[np.complex64]
GAMMA = 2.2


def smoothstep(low: float, high: float, x: ArrayLike) -> NDArray[np.floating]:
    """0 at `low`, 1 at `high` (which may be the smaller), a cubic between."""
    t = np.clip((np.asarray(x) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def unit(v: NDArray[np.floating]) -> F32:
    """Rows scaled to length one, float32."""
    return np.asarray(v / (np.sqrt(np.einsum("...k,...k->...", v, v))[..., None] + 1e-9), np.float32)


def linear(srgb: ArrayLike) -> F32:
    """Display values 0..1 to linear light."""
    return np.asarray(srgb, np.float32) ** np.float32(GAMMA)


def rotation(yaw: float, pitch: float, roll: float) -> F32:
    """Rotation (3, 3) from degrees: yaw > 0 turns the face to image right, pitch > 0 up, roll > 0 clockwise."""
    a, b, c = np.deg2rad([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)


def turn_partly(points: F32, share: F32, pivot: F32, matrix: F32) -> F32:
    """Each point turned about `pivot` by its `share` (V,) of the rotation `matrix`, along the rotation's own axis."""
    angle = np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))
    if angle < 1e-7:
        return points
    skew = matrix - matrix.T
    axis = unit(np.array([skew[2, 1], skew[0, 2], skew[1, 0]]))
    q = points - pivot
    part = (angle * share)[:, None]
    cos, sin = np.cos(part), np.sin(part)
    turned = q * cos + np.cross(np.broadcast_to(axis, q.shape), q) * sin + axis * (q @ axis)[:, None] * (1 - cos)
    return np.asarray(turned + pivot, np.float32)


@lru_cache(maxsize=8)
def _spectra(height: int, width: int) -> tuple[list[C64], F32, F32]:
    """White-noise spectra shared by every call.

    Fresh normals for each texture would take most of an identity's time.
    """
    rng = np.random.default_rng(12345)
    bank = [np.fft.rfft2(rng.standard_normal((height, width))).astype(np.complex64) for _ in range(6)]
    return (
        bank,
        np.fft.fftfreq(height)[:, None].astype(np.float32),
        np.fft.rfftfreq(width)[None].astype(np.float32),
    )


def noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    blob_x: float,
    blob_y: float,
    octaves: int = 1,
    fall: float = 0.5,
) -> F32:
    """Periodic band-limited noise of unit variance (height, width); blob sizes in pixels, halved each octave."""
    bank, fy, fx = _spectra(height, width)
    total = np.zeros_like(bank[0])
    for k in range(octaves):
        sx, sy = blob_x / 2 ** (k + 1), blob_y / 2 ** (k + 1)
        band = bank[int(rng.integers(len(bank)))] * np.exp(-2 * np.pi**2 * ((fx * sx) ** 2 + (fy * sy) ** 2))
        roll = np.exp(-2j * np.pi * fx * float(rng.integers(width))) * np.exp(
            -2j * np.pi * fy * float(rng.integers(height))
        )
        total += band * roll.astype(np.complex64) * np.float32(fall**k / np.sqrt((np.abs(band) ** 2).mean()))
    field = np.fft.irfft2(total, s=(height, width)).astype(np.float32)
    return np.asarray(field / field.std(), np.float32)
