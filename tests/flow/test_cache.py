"""Flows are computed once a clip, rate and method, and come back as they were."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.flow import cache as module
from mmbench.flow.cache import FlowCache
from mmbench.flow.dis import DisFlow
from mmbench.flow.flow_pass import FlowPass, FlowResult
from mmbench.flow.needs import FlowMaker
from mmbench.flow.types import VERSION
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo

INFO = ClipInfo(Path("clip"), 5, 64, 64, 8.0, "container", 8.0, False, "0" * 64)


def result(smoothness: bool = True) -> FlowResult:
    """What DIS says of a square that moves over noise."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    made = FlowPass(DisFlow(), "full", want_smoothness=smoothness)
    made.start(INFO)
    for t in range(INFO.n_frames):
        frame = picture.copy()
        frame[20:40, 3 * t : 3 * t + 20] = 255
        made.feed(t, frame)
    return made.finish()


def same(one: FlowResult | None, other: FlowResult) -> bool:
    """Equal to the last bit: what a file holds is what was written."""
    assert one is not None
    assert np.array_equal(one.scores, other.scores, equal_nan=True)
    return replace(one, scores=other.scores) == other


@pytest.mark.parametrize("smoothness", [True, False])
def test_a_result_comes_back_as_it_was(smoothness: bool, tmp_path: Path) -> None:
    cache, found = FlowCache(tmp_path, {}, Provenance("dis")), result(smoothness)
    assert cache.get(INFO, smoothness) is None
    cache.put(INFO, found)
    assert same(cache.get(INFO, smoothness), found) and same(cache.get(INFO, False), found)
    assert (cache.get(INFO, True) is not None) == smoothness
    path = cache.path(INFO)
    path.write_bytes(path.read_bytes()[:-20])
    assert cache.get(INFO, False) is None


def test_anything_that_changes_a_number_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = [FlowCache(tmp_path, {}, Provenance("dis")), FlowCache(tmp_path, {"mode": "early"}, Provenance("dis"))]
    caches.append(FlowCache(tmp_path, {}, Provenance("dis", versions={"opencv": "99"})))
    paths = [cache.path(INFO) for cache in caches]
    clips: list[dict[str, Any]] = [{"sha256": "1" * 64}, {"fps": 9.0}, {"fps_source": "manifest"}, {"n_frames": 4}]
    paths += [caches[0].path(replace(INFO, **change)) for change in clips]
    monkeypatch.setattr(module, "VERSION", VERSION + 1)
    paths.append(FlowCache(tmp_path, {}, Provenance("dis")).path(INFO))
    assert len(set(paths)) == len(paths)


def test_a_disk_that_is_full_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "whole", full)
    cache = FlowCache(tmp_path, {}, Provenance("dis"))
    with pytest.warns(UserWarning, match="not kept") as told:
        cache.put(INFO, result(False))
        cache.put(INFO, result(False))
    assert len(told) == 1 and cache.get(INFO, False) is None


def test_what_was_refused_is_not_kept(tmp_path: Path) -> None:
    maker = FlowMaker(DisFlow(), "full", True, cache=FlowCache(tmp_path, {}, Provenance("dis")))
    maker.keep(INFO, replace(result(), reason="too large"))
    assert maker.known(INFO) is None
    maker.keep(INFO, result())
    assert same(maker.known(INFO), result())
