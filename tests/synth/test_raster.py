"""Both back ends against a brute-force rasteriser and against each other."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from numpy.typing import NDArray

from mmbench.synth.raster import Backend, CutOut, bilinear, gather, rasterise, shadow_share, vertex_normals

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
BACKENDS = [pytest.param("numba", marks=needs_numba), "numpy"]
SIDE = 64


def soup(seed: int, triangles: int = 120) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Random triangles, some partly outside the picture, one degenerate."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-5, SIDE + 5, (triangles, 1, 2))
    xy = (centres + rng.normal(0, 6, (triangles, 3, 2))).reshape(-1, 2).astype(np.float32)
    xy[3:6] = xy[3]
    tri = np.arange(3 * triangles, dtype=np.int32).reshape(-1, 3)
    return xy, rng.uniform(1, 9, len(xy)).astype(np.float32), tri


def brute(xy: NDArray[np.float32], key: NDArray[np.float32], tri: NDArray[np.int32]) -> NDArray[np.int32]:
    """Nearest triangle at every pixel centre by solving for its weights, one pixel and triangle at a time."""
    winner = np.full((SIDE, SIDE), -1, np.int32)
    depth = np.full((SIDE, SIDE), np.inf)
    for k, corners in enumerate(tri):
        a = np.vstack([xy[corners].T.astype(np.float64), np.ones(3)])
        if abs(np.linalg.det(a)) < 1e-9:
            continue
        rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
        w = np.einsum("ij,jrc->irc", np.linalg.inv(a), np.stack([columns, rows, np.ones_like(rows)]))
        z = np.einsum("i,irc->rc", key[corners].astype(np.float64), w)
        nearer = (w >= 0).all(0) & (z < depth)
        winner[nearer], depth[nearer] = k, z[nearer]
    return winner


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(3))
def test_matches_brute_force(backend: Backend, seed: int) -> None:
    xy, key, tri = soup(seed)
    got = rasterise(xy, key, tri, SIDE, SIDE, backend=backend)
    assert (got.tri == brute(xy, key, tri)).mean() > 0.999
    hit = got.tri >= 0
    assert np.allclose(got.bary[hit].sum(-1), 1, atol=1e-5)
    inside = gather(tri[got.tri[hit]], got.bary[hit], np.c_[xy, key], backend=backend)
    rows, columns = np.nonzero(hit)
    assert np.abs(inside[:, :2] - np.stack([columns, rows], 1) - 0.5).max() < 1e-2
    assert np.allclose(inside[:, 2], got.depth[hit], rtol=1e-4)
    assert not np.isfinite(got.depth[~hit]).any()


@needs_numba
def test_back_ends_agree_on_a_person(woman: object) -> None:
    from mmbench.synth.person import Person
    from mmbench.synth.scene import Scene, State, camera

    assert isinstance(woman, Person)
    view = camera(woman, Scene(), State())
    pixels, depth = view.project(woman.vertices())
    one, two = (rasterise(pixels, depth, woman.body.tri, 256, 256, backend=b) for b in ("numba", "numpy"))
    assert (one.tri == two.tri).mean() > 0.999
    same = one.tri == two.tri
    assert np.abs(one.bary - two.bary)[same].max() < 2e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_order_of_triangles_does_not_matter(backend: Backend) -> None:
    xy, key, tri = soup(7)
    order = np.random.default_rng(0).permutation(len(tri))
    plain = rasterise(xy, key, tri, SIDE, SIDE, backend=backend)
    shuffled = rasterise(xy, key, np.ascontiguousarray(tri[order]), SIDE, SIDE, backend=backend)
    assert np.array_equal(plain.depth, shuffled.depth)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cut_out_shows_what_lies_behind(backend: Backend) -> None:
    """A near square is cut away left of its middle; there the far square shows."""
    square = np.array([[8, 8], [56, 8], [56, 56], [8, 56]], np.float32)
    xy, key = np.concatenate([square, square]), np.repeat(np.array([1, 2], np.float32), 4)
    tri = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32)
    edge = np.where(xy[tri][..., 0] < 32, -1, 1).astype(np.float32)
    edge[2:] = 9  # never cut
    cut = CutOut(np.zeros((4, 3), np.float32), edge, np.zeros(8, np.float32))
    got = rasterise(xy, key, tri, SIDE, SIDE, cut, backend)
    assert set(np.unique(got.tri[12:52, 12:28])) == {2, 3}
    assert set(np.unique(got.tri[12:52, 36:52])) == {0, 1}


@needs_numba
def test_small_functions_agree() -> None:
    rng = np.random.default_rng(2)
    texture = rng.random((16, 24, 3)).astype(np.float32)
    u, v = rng.uniform(-0.1, 1.1, (2, 500)).astype(np.float32)
    assert np.allclose(bilinear(texture, u, v, "numba"), bilinear(texture, u, v, "numpy"), atol=1e-4)
    xy, key, tri = soup(4)
    verts = np.c_[xy, key].astype(np.float32)
    assert np.allclose(vertex_normals(verts, tri, "numba"), vertex_normals(verts, tri, "numpy"), atol=1e-4)
    depth = rng.random((32, 32)).astype(np.float32)
    x, y, z, bias = (rng.uniform(0, hi, 400).astype(np.float32) for hi in (32, 32, 1, 0.1))
    shares = [shadow_share(depth, x, y, z, bias, 1.3, b) for b in ("numba", "numpy")]
    assert np.abs(shares[0] - shares[1]).mean() < 1e-3


def test_bilinear_returns_texels_at_their_centres() -> None:
    texture = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    got = bilinear(texture, np.array([0.125, 0.375], np.float32), np.array([1 / 6, 0.5], np.float32), "numpy")
    assert np.allclose(got[:, 0], [0, 5], atol=1e-3)
