"""The contract's own rules, the lazy registry, plug-ins, and one model in memory at a time."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.baselines.contract import (
    Baseline,
    Native,
    Parameters,
    Request,
    Video,
    VideoInfo,
)
from mmbench.baselines.registry import BASELINES, create, create_first_frame, installed
from mmbench.baselines.session import Session
from mmbench.errors import RequestError
from mmbench.trigger import without_trigger


class Toy(Baseline):
    """Grey frames; records what happens to it."""

    name = "toy"
    kind = "t2v"
    variants = ("one", "two")

    def __init__(self, prompt_kind: str | None = None) -> None:
        super().__init__(prompt_kind)  # type: ignore[arg-type]
        self.events: list[str] = []
        self.memory: list[np.ndarray] = []

    def native(self, variant: str | None = None) -> Native:
        return Native(size=(8, 16), frames=2, fps=8)

    def load(self, device: str, dtype: str, variant: str, weights_dir: Path) -> None:
        self.events.append(f"load {variant}")
        self.memory = [np.zeros(10)]
        if not weights_dir.is_dir():
            raise OSError("no weights")

    def close(self) -> None:
        self.events.append("close")
        self.memory = []

    def generate(self, request: Request) -> Video:
        frames = np.full((2, 8, 16, 3), request.seed % 256, np.uint8)
        return Video(frames, 8, VideoInfo(request.seed, 0.0, None, self.prompt_for(request), False))


def test_importing_registry_contract_and_session_loads_nothing_heavy() -> None:
    heavy = ("torch", "diffusers", "transformers", "PIL", "scipy", "cv2", "onnxruntime")
    code = (
        "import sys, mmbench.baselines.registry, mmbench.baselines.session, mmbench.baselines.remote.client, "
        "mmbench.baselines.remote.worker; from mmbench.baselines.registry import create, installed; installed(); "
        "[create(name).native() for name in installed()]; create('cogvideox_i2v').weights(); "
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_registered_model_states_its_facts() -> None:
    for name in BASELINES:
        model = create(name)
        assert model.name == name
        assert model.kind in ("identity", "i2v", "t2v")
        assert model.default_prompt_kind == ("short" if model.kind == "i2v" or name == "stand_in" else "long")
        assert "videos" in model.licence  # what may be done with them, or that nothing is said
        assert model.variants
        assert model.tiny_variants
        for variant in (*model.variants, *model.tiny_variants):
            native = model.native(variant)
            large = "phantom-14b" if name == "phantom" and variant.endswith("14b") else name
            rates = {
                "bernini_r": 16,
                "lynx": 16,
                "minimax_h3": 24,
                "phantom": 16,
                "phantom-14b": 24,
                "skyreels_v3": 24,
                "stand_in": 25,
                "vace": 16,
            }
            assert native.fps == rates.get(large, 8)
            assert min(native.size) >= 32
            assert native.steps is not None
            assert native.guidance is not None
    assert create_first_frame().name == "photomaker_v2"
    assert "videos" in create_first_frame().licence


def test_published_recipes() -> None:
    """Sizes, frames, steps and guidance of the specification, section by section."""
    expected = {
        ("magic_mirror", "nano-trained"): ((256, 256), 9, 20, 2.0),
        ("id_animator", "paper"): ((480, 720), 16, 30, 8.0),
        ("id_animator", "v1"): ((512, 512), 16, 30, 8.0),
        ("dynamicrafter", "1024"): ((576, 1024), 16, 50, 7.5),
        ("dynamicrafter", "512"): ((320, 512), 16, 50, 7.5),
        ("dynamicrafter", "256"): ((256, 256), 16, 50, 7.5),
        ("easyanimate", "v5"): ((480, 720), 49, 50, 6.0),
        ("easyanimate", "v5.1"): ((480, 720), 49, 50, 6.0),
        ("cogvideox", "5b"): ((480, 720), 49, 50, 6.0),
        ("cogvideox_i2v", "5b"): ((480, 720), 49, 50, 6.0),
        ("consisid", "preview"): ((480, 720), 49, 50, 6.0),
        ("magic_mirror", "5b"): ((480, 720), 49, 50, 6.0),
        ("bernini_r", "1.3b"): ((480, 848), 81, 40, 4.0),
        ("bernini_r", "14b"): ((480, 848), 81, 40, 4.0),
        ("lynx", "full"): ((480, 832), 81, 50, 5.0),
        ("minimax_h3", "ref2va"): ((768, 1344), 124, 50, 1.0),
        ("phantom", "1.3b"): ((480, 832), 81, 50, 7.5),
        ("phantom", "14b"): ((480, 832), 121, 50, 7.5),
        ("skyreels_v3", "14b"): ((720, 1280), 121, 8, 1.0),
        ("stand_in", "2.1"): ((480, 832), 81, 20, 5.0),
        ("stand_in", "2.2"): ((480, 832), 81, 20, 5.0),
        ("vace", "1.3b"): ((480, 832), 81, 50, 5.0),
        ("vace", "14b"): ((480, 832), 81, 50, 5.0),
    }
    found = {
        (name, variant): (native.size, native.frames, native.steps, native.guidance)
        for name in BASELINES
        for variant in create(name).variants
        for native in [create(name).native(variant)]
    }
    assert found == expected


def test_unknown_names_and_classes_are_refused() -> None:
    with pytest.raises(RequestError, match="Choose one of"):
        create("sora")
    with pytest.raises(RequestError, match="no model class"):
        create("pathlib:Path")
    with pytest.raises(RequestError, match="no model class"):
        create("mmbench.baselines.contract:nonesuch")
    with pytest.raises(RequestError, match="no module 'no_such_module'"):
        create("no_such_module:Model")
    with pytest.raises(RequestError, match="no subclass"):
        create("mmbench.baselines.photomaker_v2.model:PhotoMakerV2")


def test_an_installed_package_adds_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "toy_plugin-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[mmbench.models]\ntoy_plugged = toy_plugged_model:Model\n")
    (tmp_path / "toy_plugged_model.py").write_text(
        "from mmbench.baselines.contract import Baseline, Native\n"
        "class Model(Baseline):\n"
        "    name, kind = 'toy_plugged', 't2v'\n"
        "    def native(self, variant=None): return Native((8, 8), 1, 8)\n"
        "    def load(self, device, dtype, variant, weights_dir): pass\n"
        "    def generate(self, request): raise NotImplementedError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "toy_plugged" in installed()
    assert create("toy_plugged", "short").prompt_kind == "short"
    (package / "entry_points.txt").write_text("[mmbench.models]\ncogvideox = toy_plugged_model:Model\n")
    with pytest.raises(RequestError, match="under our name"):
        installed()


def test_a_session_holds_one_model(tmp_path: Path) -> None:
    first, second = Toy(), Toy()
    with Session(tmp_path) as session:
        session.load(first)
        session.load(first, "one")
        assert first.events == ["load one"]
        session.load(first, "two")
        assert first.events == ["load one", "close", "load two"]
        memory = weakref.ref(first.memory[0])
        session.load(second)
        assert first.events[-1] == "close"
        assert memory() is None
        with pytest.raises(RequestError):
            session.load(first, "three")
    assert second.events == ["load one", "close"]


def test_a_model_that_fails_to_load_leaves_nothing_loaded(tmp_path: Path) -> None:
    first, broken = Toy(), Toy()
    session = Session(tmp_path)
    session.load(first)
    session.weights_dir = tmp_path / "nowhere"
    with pytest.raises(OSError, match="no weights"):
        session.load(broken)
    assert first.events[-1] == broken.events[-1] == "close"
    session.weights_dir = tmp_path
    session.load(first)
    assert first.events[-1] == "load one"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a woman img smiles", "a woman smiles"),
        ("a man img, in a hat", "a man, in a hat"),
        ("img", ""),
        ("a swimgear shop", "a swimgear shop"),
        ("A boy img.", "A boy."),
    ],
)
def test_the_trigger_is_removed_as_a_word(text: str, expected: str) -> None:
    assert without_trigger(text) == expected


def test_a_video_must_be_rgb_bytes() -> None:
    info = VideoInfo(1, 0.0, None, "", False)
    for frames in (np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 8, 8), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)):
        with pytest.raises(RequestError, match="uint8 RGB"):
            Video(frames, 8, info)  # type: ignore[arg-type]


def test_parameters_sum_both_conventions() -> None:
    counts = Parameters({"a": 1, "b": 2, "c": 4}, ("a", "c"))
    assert (counts.paper, counts.everything) == (5, 7)


def test_a_picture_too_large_or_too_small_is_refused(request_for: Callable[..., Request]) -> None:
    model = create("consisid")
    for size in ((4, 100), (9000, 9000)):
        with pytest.raises(RequestError, match="pixels"):
            model.check(request_for(references=(Image.new("RGB", size),)))
    with pytest.raises(RequestError, match="1-4 reference"):
        model.check(request_for(references=(Image.new("RGB", (64, 64)),) * 5))
