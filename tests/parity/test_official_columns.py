"""Columns of ConsisID, OpenS2V-Nexus and VBench-2.0 against their own code, with one random state dict in both.

Their repositories are no packages: name checkouts by MMBENCH_OPENS2V, MMBENCH_CONSISID and MMBENCH_VBENCH.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmbench.face.official.curricular import CurricularFace, curricular_vectors
from mmbench.face.official.cuts import cut_face, frames_of
from mmbench.face.official.features import feature_vectors, inception_features
from mmbench.face.types import Face
from mmbench.metrics.official.face_similarity import facesim, feature_distance

pytestmark = pytest.mark.parity


def checkout(variable: str, *below: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f"{variable} names no checkout")
    return Path(os.environ[variable]).joinpath(*below)


def module_at(path: Path, name: str, **absent: types.ModuleType) -> types.ModuleType:
    """A module of a checkout; `absent` stand in for packages it imports and does not need here."""
    for package, module in absent.items():
        if importlib.util.find_spec(package) is None:
            sys.modules[package] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    return loaded


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """With running statistics that are not the initial ones, so that swapped norms would show."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.3)
        if isinstance(module, torch.nn.PReLU):
            with torch.no_grad():
                module.weight.uniform_(0.1, 0.4)
    return network.eval()


def pictures(count: int, height: int = 200, width: int = 160) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 10, 8, 3), dtype=np.uint8)
    large = np.kron(coarse, np.ones((1, 20, 20, 1))) + rng.normal(0, 8, (count, 200, 160, 3))
    return large.clip(0, 255).astype(np.uint8)[:, :height, :width]


@pytest.fixture(scope="module")
def curricular():
    """OpenS2V's IR-101 and ours with one random state dict."""
    folder = checkout("MMBENCH_OPENS2V", "eval", "utils", "curricularface")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder.parent))
        from curricularface import get_model
    torch.manual_seed(0)
    theirs, ours = shaken(get_model("IR_101")([112, 112])), CurricularFace()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours.eval()


def test_curricular_face_is_equal(curricular, note):
    theirs, ours = curricular
    cuts = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        worst = (theirs(cuts) - ours(cuts)).abs().max().item()
    note(f"CurricularFace IR-101, 512 values: difference {worst}")
    assert worst == 0.0


class Detector:
    """One detector for both: points that wander with the picture, none where it is dark and has no border."""

    def points(self, picture):
        if picture.mean() < 100 and picture.shape[0] < 250:
            return None
        base = np.array([[60, 80], [100, 78], [80, 100], [64, 125], [98, 124]], np.float32)
        return base + np.float32(picture[::17, ::13].astype(np.float64).std() % 7)

    def detect(self, picture):
        if (points := self.points(picture)) is None:
            return []
        box = np.array([10, 10, 90, 110], np.float32)
        return [Face(box, 0.9, points, None, box)]


def test_facesim_and_face_distance_are_the_scripts(curricular, note):
    """ConsisID's whole process_video against ours, its detector and its ArcFace replaced by small functions."""
    pytest.importorskip("insightface")
    root = checkout("MMBENCH_CONSISID")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        script = module_at(root / "eval" / "get_facesim_fid.py", "consisid_script")
    detector, (theirs, ours) = Detector(), curricular
    torch.manual_seed(0)
    features = shaken(inception_features())
    features.fc = torch.nn.Identity()
    features.eval()

    def small(cut):  # stands for ArcFace: any function of the 112 px cut
        return cut.reshape(-1, 12).astype(np.float32).mean(0) - 120

    class FaceModel:
        def get(self, bgr):
            from insightface.utils import face_align

            if (points := detector.points(bgr[..., ::-1])) is None:
                return []
            cut = face_align.norm_crop(bgr, landmark=points, image_size=112)[..., ::-1]
            keys = {"bbox": np.array([10, 10, 90, 110.0]), "kps": points.copy(), "embedding": small(cut)}
            return [keys]

    clip = pictures(20)
    clip[5] //= 3
    reference = pictures(21)[20]
    patch = pytest.MonkeyPatch()
    patch.setattr(
        script, "sample_video_frames", lambda path, num_frames: list(clip[frames_of("consisid", 20)][..., ::-1])
    )
    align, embedding = script.process_image(FaceModel(), reference)
    script_cur = script.inference(theirs, align, "cpu")
    real = script.get_activations(script.load_image(script.Image.fromarray(align)), features)
    expected = script.process_video("", FaceModel(), theirs, features, embedding, script_cur, real, "cpu")
    patch.undo()

    cuts = [cut_face(detector, picture) for picture in (*clip[frames_of("consisid", 20)], reference)]
    assert all(cut is not None for cut in cuts) and any(cut.padded for cut in cuts)
    large = np.stack([cut.large for cut in cuts])
    np.testing.assert_array_equal(large[-1], align)
    arc = np.stack([small(cut.small) for cut in cuts])
    cur, seen = curricular_vectors(ours, large, "cpu"), feature_vectors(features, large, "cpu")
    found = (
        facesim(cur[:-1], cur[-1]).value,
        facesim(arc[:-1], arc[-1]).value,
        feature_distance(seen[:-1], seen[-1]).value,
    )
    note(f"ConsisID's script, Cur, Arc, FID: {expected}, ours {found}")
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_motion_amplitude_is_the_scripts(note):
    from mmbench.flow.farneback import FarnebackPass
    from mmbench.metrics.official.motion_amplitude import motion_amplitude
    from mmbench.video.clip import ClipInfo

    path = checkout("MMBENCH_OPENS2V", "eval", "get_motionscore.py")
    script = module_at(path, "opens2v_motion", decord=types.ModuleType("decord"))
    import cv2

    ground = cv2.GaussianBlur(pictures(1)[0], (0, 0), 3)
    clip = [np.ascontiguousarray(ground[2 * i : 2 * i + 120, i : i + 120]) for i in range(9)]
    flows = script.compute_farneback_optical_flow(clip)[0]
    expected = abs(float(script._motion_score(script._downscale_maps(flows))))
    ours = FarnebackPass()
    ours.start(ClipInfo(Path("a.mp4"), 9, 120, 120, 8.0, "container", 8.0, False, "0" * 64))
    for index, frame in enumerate(clip):
        ours.feed(index, frame)
    found = motion_amplitude(ours.finish().maps).value
    note(f"OpenS2V's motion amplitude: {expected}, ours {found}")
    assert found == pytest.approx(expected, rel=1e-6) and expected > 0.1


def test_aesthetic_head_is_the_scripts(note):
    from mmbench.encode.clip.aesthetic import AestheticHead

    path = checkout("MMBENCH_OPENS2V", "eval", "get_aesscore.py")
    script = module_at(path, "opens2v_aesthetic", decord=types.ModuleType("decord"))
    torch.manual_seed(0)
    theirs, ours = script.MLP().eval(), AestheticHead().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    rows = torch.nn.functional.normalize(torch.randn(5, 768), dim=-1)
    with torch.inference_mode():
        worst = (theirs(rows) - ours(rows)).abs().max().item()
    note(f"LAION's head: difference {worst}")
    assert worst == 0.0


@pytest.fixture(scope="module")
def grey():
    """VBench-2.0's ArcFace-ResNet18 and ours with one random state dict."""
    from mmbench.face.official.grey_arcface import GreyArcFace

    folder = checkout("MMBENCH_VBENCH", "VBench-2.0", "vbench2", "third_party", "arcface", "models")
    script = module_at(folder / "resnet.py", "vbench2_resnet")
    torch.manual_seed(0)
    theirs = shaken(script.resnet_face18(use_se=False))
    ours = GreyArcFace()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours.eval()


def test_vbench2_recogniser_is_equal(grey, note):
    theirs, ours = grey
    faces = torch.rand(2, 1, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        worst = (theirs(faces) - ours(faces)).abs().max().item()
    note(f"VBench-2.0's ArcFace-ResNet18: difference {worst}")
    assert worst == 0.0


def test_human_identity_is_the_scripts(grey, note, monkeypatch):
    """VBench-2.0's tracker over frames with one, no and two faces, and ours; its detector replaced by a table."""
    from mmbench.face.official.same_person import FirstFacePass, cut_of
    from mmbench.metrics.official.human_identity import human_identity
    from mmbench.scores import Provenance

    source = checkout("MMBENCH_VBENCH", "VBench-2.0", "vbench2", "human_identity.py").read_text(encoding="utf-8")
    start, end = source.index("def extract_face_features"), source.index("def evaluate_id_consistency")
    import cv2

    space = {"cv2": cv2, "np": np, "torch": torch}
    exec(compile(source[start:end].replace(".cuda()", ""), "human_identity.py", "exec"), space)
    theirs, ours = grey
    clip = pictures(40)
    clip[1:] = (0.6 * clip[0] + 0.4 * clip[1:]).astype(np.uint8)
    boxes = [[20 + i % 5, 30, 110, 150 - i % 7] for i in range(40)]
    counts = np.ones(40, int)
    counts[[5, 6, 7]], counts[[9, 10]] = 0, 2

    def table(count, box):
        return [{"bbox": []}] if count == 0 else [{"bbox": box}] * count

    made = FirstFacePass(None, ours, Provenance("vbench2"), "cpu", side=200)
    cuts = [cut_of(clip[i], np.array(boxes[i], float), 200) if counts[i] == 1 else None for i in range(40)]
    made._counts, made._vectors = counts.tolist(), [None if cut is None else made._read(cut) for cut in cuts]
    seen = made.finish()
    limit = float(np.nanmedian(seen.cosines))  # random weights find everything alike: half of the frames are to be
    monkeypatch.setattr("mmbench.metrics.official.human_identity.ALIKE", limit - 1e-7)
    found = human_identity(seen.faces.astype(float), seen.cosines)

    tracker, alike, counted = space["IDTracker"](similarity_threshold=limit - 1e-7), 0, 0
    for index in range(40):
        detector = SimpleNamespace(predict_jsons=lambda frame, i=index: table(counts[i], boxes[i]))
        same, valid = tracker.update(clip[index].copy(), index, detector, theirs)
        if index and valid:
            alike, counted = alike + same, counted + 1
    note(f"VBench-2.0's human identity: {alike}/{counted}, ours {found}")
    assert found is not None and found.value < 0.9
    assert (found.value, found.counted) == (pytest.approx(alike / counted), counted)
