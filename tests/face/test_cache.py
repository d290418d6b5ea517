from __future__ import annotations

import json
import random
from dataclasses import fields, replace

import numpy as np
import pytest

from mmbench.face import cache
from mmbench.face.cache import DamagedTrack, FaceCache, read_track, write_track
from mmbench.face.face_pass import FacePass
from mmbench.face.make import make_backend
from mmbench.scores import Provenance


@pytest.fixture
def clip(drawn):
    return [drawn([(50 + i, 60, 80, 90, 100, i)] if i % 7 else []) for i in range(20)]


@pytest.fixture
def track(run, blobs, clip):
    return run(FacePass(blobs()), clip)


def assert_equal(one, two):
    for field in fields(one):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


def test_a_track_comes_back_as_it_was(track, tmp_path):
    write_track(tmp_path / "a" / "t.npz", track)
    assert_equal(read_track(tmp_path / "a" / "t.npz"), track)
    with68 = replace(track, points68=np.zeros((20, 68, 2), np.float32))
    write_track(tmp_path / "t.npz", with68)
    assert_equal(read_track(tmp_path / "t.npz"), with68)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["t.npz", "t.npz"]


def test_dlib_tracks_come_back_too(dlib_backend, portrait_clip, run, info, tmp_path):
    store = FaceCache(tmp_path, dlib_backend)
    track = run(FacePass(dlib_backend), portrait_clip)
    store.put(info(portrait_clip), track)
    assert_equal(store.get(info(portrait_clip)), track)


def test_get_is_none_until_put(track, clip, info, blobs, tmp_path):
    store = FaceCache(tmp_path, blobs())
    assert store.get(info(clip)) is None
    store.put(info(clip), track)
    assert_equal(store.get(info(clip)), track)


def test_the_frame_rate_is_the_clips(track, clip, info, blobs, tmp_path):
    """The file is named by content; the manifest may name another rate the next time."""
    store = FaceCache(tmp_path, blobs())
    store.put(info(clip, fps=8.0), track)
    assert store.get(info(clip, fps=30.0)).fps == 30.0


def test_anything_that_changes_a_number_changes_the_file(clip, info, blobs, tmp_path, monkeypatch):
    def paths(**changes):
        backend = blobs()
        for name, value in changes.items():
            setattr(backend, name, value)
        return FaceCache(tmp_path, backend).path(info(clip))

    base = paths()
    assert base == paths()
    others = [
        paths(name="other"),
        paths(provenance=Provenance("blobs", {"none": "1"}, blobs.provenance.versions)),
        paths(provenance=Provenance("blobs", {"none": "0"}, {"numpy": "0"})),
        paths(provenance=Provenance("blobs", {"none": "0"}, {**blobs.provenance.versions, "device": "cuda"})),
        paths(provenance=replace(blobs.provenance, random_weights=True)),
        paths(embedding_provenance=Provenance("blobs+dlib")),
        FaceCache(tmp_path, blobs(), "sampled").path(info(clip)),
        FaceCache(tmp_path, blobs()).path(info(clip, sha256="b" * 64)),
    ]
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    others.append(paths())
    monkeypatch.setattr(cache, "installed_version", lambda name: "another")
    others.append(paths())
    assert len({base, *others}) == 11


def test_damaged_files_are_computed_anew(track, clip, info, blobs, tmp_path):
    store = FaceCache(tmp_path, blobs())
    store.put(info(clip), track)
    path = store.path(info(clip))
    whole = path.read_bytes()
    rng = random.Random(3)
    silent = 0
    for number in range(300):
        data = bytearray(whole)
        if number % 3 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            for _ in range(1 + number % 8):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(data))
        if (got := store.get(info(clip))) is not None:
            assert_equal(got, track)  # the injury hit a byte that carries nothing
            silent += 1
    assert silent < 150
    store.put(info(clip), track)
    assert_equal(store.get(info(clip)), track)


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "t.npz", header=np.array([{}], dtype=object))
    with pytest.raises(DamagedTrack):
        read_track(tmp_path / "t.npz")


def test_arrays_that_do_not_fit_are_refused(track, tmp_path):
    write_track(tmp_path / "t.npz", replace(track, box=track.box[:-1]))
    with pytest.raises(DamagedTrack, match="fit together"):
        read_track(tmp_path / "t.npz")


def test_the_header_is_json(track, tmp_path):
    write_track(tmp_path / "t.npz", track)
    with np.load(tmp_path / "t.npz", allow_pickle=False) as data:
        header = json.loads(str(data["header"]))
    assert header["n_frames"] == 20
    assert header["provenance"]["backend"] == "blobs"


@pytest.mark.parametrize("name", ["retinaface", "insightface"])
def test_each_device_has_its_own_files(name, clip, info, tmp_path):
    """Rounding differs between devices: what one found is never taken for what another would."""
    if name == "insightface":
        pytest.importorskip("onnxruntime")
    backends = [make_backend(name, tiny=True, device=device) for device in ("cpu", "cpu:0", "cpu")]
    first, second, third = (FaceCache(tmp_path, backend).path(info(clip)) for backend in backends)
    assert first == third != second
