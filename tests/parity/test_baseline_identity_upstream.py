"""The identity side of the generators against the originals: PhotoMaker's pipeline, insightface, ConsisID's front end.

PhotoMaker needs a checkout (MMBENCH_UPSTREAM/PhotoMaker) and einops; the others the packages insightface, facexlib and
consisid_eva_clip. What is absent is skipped.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.parity
torch.set_num_threads(1)
Note = Callable[[str], None]

POINTS = np.array([[210, 180], [290, 182], [250, 230], [218, 280], [284, 282]], np.float32)


def pattern(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, (x + y) % 256], -1).astype(np.uint8)


def upstream_photomaker(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Upstream's encoder and pipeline modules; its package's own __init__ fails on current diffusers."""
    pytest.importorskip("einops")
    folder = Path(os.environ.get("MMBENCH_UPSTREAM", "")) / "PhotoMaker" / "photomaker"
    if not os.environ.get("MMBENCH_UPSTREAM") or not folder.is_dir():
        pytest.skip("no checkout of PhotoMaker (set MMBENCH_UPSTREAM)")
    package: Any = types.ModuleType("photomaker")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "photomaker", package)
    encoder = importlib.import_module("photomaker.model_v2")
    package.PhotoMakerIDEncoder = object
    package.PhotoMakerIDEncoder_CLIPInsightfaceExtendtoken = encoder.PhotoMakerIDEncoder_CLIPInsightfaceExtendtoken
    return encoder, importlib.import_module("photomaker.pipeline")


def test_photomaker_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    encoders, pipelines = upstream_photomaker(monkeypatch)
    import transformers
    from diffusers import EulerDiscreteScheduler

    import mmbench.baselines.photomaker_v2.tiny as tiny
    from mmbench.baselines.loading.lora import locate_processor, merge
    from mmbench.baselines.loading.tiny import make_tiny
    from mmbench.baselines.photomaker_v2.model import ADAPTER_REPO, BASE_REPO, NEGATIVE, PhotoMakerV2, merge_step
    from mmbench.face.stand_in import PictureFaces

    width = 128  # upstream's perceiver has width // 128 heads
    monkeypatch.setattr(tiny, "TEXT_WIDTH", width // 2)
    monkeypatch.setattr(tiny, "WIDTH", width)
    make_tiny(tmp_path, "photomaker_v2")
    ours = PhotoMakerV2()
    ours.load("cpu", "auto", "tiny", tmp_path)
    state = torch.load(tmp_path / ADAPTER_REPO.replace("/", "--") / "photomaker-v2.bin", weights_only=True)

    class SmallEncoder(encoders.PhotoMakerIDEncoder_CLIPInsightfaceExtendtoken):  # type: ignore[misc,name-defined]
        """Upstream's class at the tiny file's widths, which its constructor fixes."""

        def __init__(self) -> None:
            config = transformers.CLIPVisionConfig(
                hidden_size=tiny.VISION_WIDTH,
                intermediate_size=96,
                num_hidden_layers=tiny.VISION_LAYERS,
                num_attention_heads=1,
                image_size=28,
                patch_size=14,
                projection_dim=48,
            )
            transformers.CLIPVisionModelWithProjection.__init__(self, config)
            self.fuse_module = encoders.FuseModule(width)
            self.visual_projection_2 = torch.nn.Linear(tiny.VISION_WIDTH, 80, bias=False)
            self.num_tokens, self.cross_attention_dim = 2, width
            self.qformer_perceiver = encoders.QFormerPerceiver(512, width, 2, embedding_dim=tiny.VISION_WIDTH)
            self.qformer_perceiver.perceiver_resampler = encoders.FacePerceiverResampler(
                dim=width,
                depth=tiny.TAU_LAYERS,
                dim_head=128,
                heads=1,
                embedding_dim=tiny.VISION_WIDTH,
                output_dim=width,
            )

    encoder = SmallEncoder().eval()
    encoder.load_state_dict(state["id_encoder"], strict=True)
    theirs = pipelines.PhotoMakerStableDiffusionXLPipeline.from_pretrained(tmp_path / BASE_REPO.replace("/", "--"))
    merge(theirs.unet, state["lora_weights"], locate_processor, "upstream")
    theirs.id_encoder, theirs.num_tokens, theirs.pm_version, theirs.trigger_word = encoder, 2, "v2", "img"
    processor = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    theirs.id_image_processor = processor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    for tokenizer in (theirs.tokenizer, theirs.tokenizer_2):
        tokenizer.add_tokens(["img"], special_tokens=True)
    theirs.scheduler = EulerDiscreteScheduler.from_config(theirs.scheduler.config)
    theirs.set_progress_bar_config(disable=True)
    prompt, faces = "a woman img, on a hill", PictureFaces()
    for count, steps in ((1, 5), (2, 12), (3, 5)):
        references = [Image.fromarray(pattern(96 + 7 * index, 80)) for index in range(count)]
        arrays = [np.asarray(picture) for picture in references]
        vectors = [torch.from_numpy(faces.embed(array, faces.find(array)[0])) for array in arrays]
        ours.steps = steps
        wanted = theirs(
            prompt=prompt,
            negative_prompt=NEGATIVE,
            input_id_images=references,
            id_embeds=torch.stack(vectors),
            height=48,
            width=80,
            num_inference_steps=steps,
            guidance_scale=5.0,
            start_merge_step=merge_step(steps),
            generator=torch.Generator().manual_seed(3),
        ).images[0]
        found = ours.make(prompt, references, (48, 80), 3)
        difference = int(np.abs(np.asarray(wanted).astype(int) - np.asarray(found)).max())
        note(f"PhotoMaker, {count} references, {steps} steps: {difference} grey levels")
        assert difference <= 1


def test_scrfd_is_insightfaces(tmp_path: Path, note: Note) -> None:
    pytest.importorskip("insightface")
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from insightface.model_zoo.scrfd import SCRFD
    from onnx import TensorProto, helper, numpy_helper

    from mmbench.face.insightface.scrfd import ANCHORS, STRIDES
    from mmbench.face.packs import PackFaces

    rng, side = np.random.default_rng(0), 320
    nodes, outputs = [], []
    for kind, width in enumerate((1, 4, 10)):
        for stride in STRIDES:
            rows = (side // stride) ** 2 * ANCHORS
            sure = rng.random((rows, 1)) < 0.004
            scores = np.where(sure, rng.uniform(0.5, 1, (rows, 1)), rng.uniform(0, 0.49, (rows, 1)))
            value = (scores, rng.uniform(0.5, 4, (rows, 4)), rng.normal(0, 2, (rows, 10)))[kind].astype(np.float32)
            name = f"out{kind}_{stride}"
            nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width]))
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    graph = helper.make_graph(nodes, "detector", [source], outputs)
    path = tmp_path / "det.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = SCRFD(model_file=str(path), session=session)
    theirs.prepare(0, input_size=(side, side), det_thresh=0.5)
    recogniser = types.SimpleNamespace(
        get_inputs=lambda: [types.SimpleNamespace(name="data")], run=lambda names, feed: [np.zeros((1, 512))]
    )
    picture = pattern(500, 300)
    boxes, points = theirs.detect(picture[:, :, ::-1].copy(), input_size=(side, side))
    faces = PackFaces(session, recogniser).find(picture, side)
    assert len(faces) == len(boxes) > 5
    difference = max(
        max(np.abs(box[:4] - face.box).max(), np.abs(five - face.points).max(), abs(box[4] - face.score))
        for box, five, face in zip(boxes, points, faces, strict=True)
    )
    note(f"SCRFD, {len(faces)} faces: {difference:.1e}")
    assert difference < 1e-4


def test_the_face_crop_is_insightfaces(note: Note) -> None:
    face_align = pytest.importorskip("insightface.utils.face_align")
    from mmbench.face.cut import aligned

    picture = pattern(460, 500)
    wanted = face_align.norm_crop(picture, POINTS, 112)
    difference = int(np.abs(wanted.astype(int) - aligned(picture, POINTS)).max())
    note(f"ArcFace crop: {difference} grey levels")
    assert difference <= 2


@pytest.mark.slow
def test_consisids_face_features(monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    """diffusers' `process_face_embeddings_infer` with random towers; 304 M parameters, so it is slow."""
    for name in ("insightface", "consisid_eva_clip"):
        pytest.importorskip(name)
    for name in ("filterpy", "filterpy.kalman"):  # facexlib imports it for video tracking only
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["filterpy.kalman"].KalmanFilter = object  # type: ignore[attr-defined]
    restoration = pytest.importorskip("facexlib.utils.face_restoration_helper")
    from consisid_eva_clip import create_model_and_transforms
    from consisid_eva_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from diffusers.pipelines.consisid.consisid_utils import process_face_embeddings_infer
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.parsing.bisenet import BiSeNet

    from mmbench.baselines.consisid.faces import TowerReader
    from mmbench.face.types import Face

    torch.manual_seed(0)
    detector = RetinaFace(network_name="resnet50", half=False, device="cpu")
    box = np.array([150, 100, 350, 330], np.float32)
    detector.detect_faces = lambda *arguments, **named: np.concatenate([box, [0.99], POINTS.ravel()])[None]
    parsing = BiSeNet(num_class=19).eval()
    monkeypatch.setattr(restoration, "init_detection_model", lambda *arguments, **named: detector)
    monkeypatch.setattr(restoration, "init_parsing_model", lambda *arguments, **named: parsing)
    helper = restoration.FaceRestoreHelper(
        upscale_factor=1, face_size=512, crop_ratio=(1, 1), det_model="retinaface_resnet50", device="cpu"
    )
    helper.face_parse = parsing
    tower = create_model_and_transforms("EVA02-CLIP-L-14-336", None, force_custom_clip=True)[0].visual.eval()
    vector = np.random.default_rng(0).standard_normal(512).astype(np.float32)
    application = types.SimpleNamespace(get=lambda picture: [{"bbox": box, "embedding": vector, "kps": POINTS}])
    analyser: Any = types.SimpleNamespace(
        find=lambda picture, side: [Face(box, 0.9, POINTS, None, box)], embed=lambda picture, face: vector
    )
    picture = pattern(460, 500)
    with torch.no_grad():
        identity, layers, shown, _ = process_face_embeddings_infer(
            helper, tower, None, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, application, "cpu", torch.float32, picture
        )
    found = TowerReader(analyser, helper, parsing, tower, "cpu").read(Image.fromarray(picture))
    differences = (
        float((identity - found.identity).abs().max()),
        max(float((a - b).abs().max()) for a, b in zip(layers, found.layers, strict=True)),
        int(np.abs(np.asarray(shown).astype(int) - np.asarray(found.picture)).max()),
    )
    note(f"ConsisID face features: vector {differences[0]:.1e}, layers {differences[1]:.1e}, picture {differences[2]}")
    assert identity.shape == (1, 1280)
    assert max(differences) < 1e-4
