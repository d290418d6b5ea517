"""dlib through our batches, threads and stages gives what dlib gives when it is called plainly."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import dlib
import numpy as np
import pytest

from mmbench.errors import MissingWeights, MMBenchError, WeightsError
from mmbench.face.dlib.eyes import DlibBackend, shrink
from mmbench.face.face_pass import FacePass
from mmbench.face.geometry import five_from_68
from mmbench.face.make import make_backend
from mmbench.face.types import TwoStageBackend
from mmbench.weights.checked import checked


@pytest.fixture(scope="module")
def plain():
    """The calls of face_recognition (detector "hog", one upsampling, model "small", one jitter), written
    anew."""
    spec = importlib.util.find_spec("face_recognition_models")
    models = Path(spec.submodule_search_locations[0]) / "models"
    detector = dlib.get_frontal_face_detector()
    points = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    points68 = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def look(frame):
        boxes = detector(frame, 1)
        vectors = [np.array(network.compute_face_descriptor(frame, points(frame, box), 1)) for box in boxes]
        shapes = [[(point.x, point.y) for point in points68(frame, box).parts()] for box in boxes]
        return [(b.left(), b.top(), b.right(), b.bottom()) for b in boxes], vectors, shapes

    return look


def test_boxes_points_and_embeddings_equal_plain_dlib(dlib_backend, plain, portrait_clip, run):
    track = run(FacePass(dlib_backend), portrait_clip)
    compared = 0
    for row, frame in enumerate(portrait_clip):
        boxes, vectors, shapes = plain(frame)
        assert len(boxes) == int(track.usable[row]) <= 1
        if boxes:
            assert track.box[row].tolist() == list(boxes[0])
            assert track.points68[row].tolist() == [list(map(float, point)) for point in shapes[0]]
            for slot in np.flatnonzero(track.slot_frames == row):
                # another copy of the network: its sums may round otherwise
                np.testing.assert_allclose(track.embeddings[slot], vectors[0], rtol=0, atol=1e-5)
                compared += 1
    assert compared == 16


def test_five_points_come_from_the_68(dlib_backend, portrait):
    (face,) = dlib_backend.detect([portrait])[0]
    np.testing.assert_array_equal(face.points, five_from_68(face.points68))
    left_eye, right_eye, nose, left_mouth, right_mouth = face.points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert face.tight_box.tolist() == [*face.points68.min(0), *face.points68.max(0)]


@pytest.mark.parametrize("batch", [1, 5])
def test_the_size_of_a_batch_changes_nothing(batch, dlib_backend, portrait_clip):
    (face,) = dlib_backend.detect([portrait_clip[0]])[0]
    chips = np.stack([dlib_backend.chip(frame, face) for frame in portrait_clip[:10]])
    together = dlib_backend.embed(chips)
    apart = np.concatenate([dlib_backend.embed(chips[i : i + batch]) for i in range(0, 10, batch)])
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-5)  # matrix kernels differ with the batch


def test_threads_change_nothing(dlib_backend, portrait_clip, run):
    one = run(FacePass(dlib_backend), portrait_clip)
    three = run(FacePass(DlibBackend(threads=3)), portrait_clip)
    for name in ("usable", "box", "points68", "slot_frames"):  # whole pixels and frames
        np.testing.assert_array_equal(getattr(three, name), getattr(one, name))
    for name in ("score", "embeddings"):  # three copies of the networks: sums may round otherwise
        np.testing.assert_allclose(getattr(three, name), getattr(one, name), rtol=0, atol=1e-5)


def test_embeddings_are_raw(dlib_backend, portrait):
    (face,) = dlib_backend.detect([portrait])[0]
    chips = dlib_backend.chip(portrait, face)[None]
    assert chips.shape == (1, 150, 150, 3)
    vectors = dlib_backend.embed(chips)
    assert (vectors.shape, vectors.dtype) == ((1, 128), np.float32)
    assert 1.2 < np.linalg.norm(vectors) < 1.7
    assert dlib_backend.embed(chips[:0]).shape == (0, 128)


def test_the_cnn_sees_what_hog_misses(dlib_backend, leaning_clip, run):
    assert isinstance(dlib_backend, TwoStageBackend)
    lying = leaning_clip[-1]
    assert dlib_backend.detect_fast([lying]) == [[]]
    assert len(dlib_backend.detect_slow([lying])[0]) == len(dlib_backend.detect([lying])[0]) == 1
    track = run(FacePass(dlib_backend), leaning_clip)
    assert (track.slot_frames >= 0).all()
    missed = [not faces for faces in dlib_backend.detect_fast(leaning_clip)]
    assert any(missed)
    assert not all(missed)


def test_large_frames_are_shrunk_for_the_cnn_and_boxes_come_back(dlib_backend, portrait, monkeypatch):
    (native,) = dlib_backend.detect_slow([portrait])[0]
    large = np.ascontiguousarray(portrait.repeat(3, 0).repeat(3, 1))
    monkeypatch.setattr("mmbench.face.dlib.eyes.CNN_PIXELS", portrait.shape[0] * portrait.shape[1])
    (found,) = dlib_backend.detect_slow([large])[0]
    assert found.box == pytest.approx(3 * native.box, abs=6)
    small, scale = shrink(large, portrait.shape[0] * portrait.shape[1])
    assert (small.shape, scale) == (portrait.shape, 3)
    assert shrink(portrait, 10**6) == (portrait, 1.0)


def test_large_frames_are_not_enlarged_for_hog(dlib_backend, portrait, monkeypatch):
    small = np.ascontiguousarray(portrait[::2, ::2])  # the face is 50 px wide: HOG needs the enlargement
    assert len(dlib_backend.detect_fast([small])[0]) == 1
    monkeypatch.setattr("mmbench.face.dlib.eyes.UPSAMPLE_PIXELS", 1000)
    assert dlib_backend.detect_fast([small]) == [[]]


def test_provenance_names_files_digests_and_version(dlib_backend):
    provenance = dlib_backend.provenance
    assert provenance.backend == dlib_backend.name == "dlib"
    assert len(provenance.weights) == 4
    assert all(len(digest) == 64 for digest in provenance.weights.values())
    assert provenance.versions["dlib"]
    assert not provenance.random_weights


def test_a_changed_weight_file_is_refused(monkeypatch, tmp_path):
    fake = tmp_path / "shape_predictor_5_face_landmarks.dat"
    fake.write_bytes(b"not dlib's")
    monkeypatch.setattr("mmbench.weights.checked.path", lambda name: fake)
    with pytest.raises(WeightsError, match=fake.name):
        checked("dlib-landmarks-5", {})


def test_absent_weights_name_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingWeights, match="face_recognition_models"):
        make_backend("dlib")


def test_unknown_backend_lists_the_known():
    with pytest.raises(MMBenchError, match=r"dlib, insightface, insightface\+dlib, retinaface"):
        make_backend("magic")


@pytest.mark.parametrize("name", ["dlib", "insightface+dlib", "retinaface"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(MMBenchError, match="cuda"):
        make_backend(name, device="cuda:99", tiny=True)
