"""What ViCLIP makes of a clip and of a prompt, with VBench's exact frames and pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.device import Arithmetic, multiplied, torch_device
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo, Frame
from mmbench.video.sample import middle_indices

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer
    from torch import Tensor, nn

    from mmbench.encode.viclip.net import VideoTower

REGISTERED = ("viclip", "viclip-safetensors")
SEED = 0
SIDE = 224
TOKENS = 32
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

Feature = NDArray[np.float32]


@dataclass(frozen=True)
class TextFeature:
    """`feature` float32 (768,), unit length. `pieces` is how many word pieces the prompt has, `dropped` how many
    of them did not fit: 32 positions hold 30 besides the start and end marks."""

    feature: Feature
    pieces: int
    dropped: int


@dataclass(frozen=True)
class VideoText:
    """`video` float32 (768,), unit length; `indices` the eight frames it saw; `encoder` makes the text side."""

    video: Feature
    indices: tuple[int, ...]
    encoder: ViClip

    @property
    def provenance(self) -> Provenance:
        """Of the network."""
        return self.encoder.provenance


class ViClip:
    """Both towers on one device. Text features are kept per prompt for the life of this object."""

    def __init__(
        self,
        video: VideoTower,
        text: nn.Module,
        provenance: Provenance,
        device: str,
        precision: Arithmetic = "fp32",
    ) -> None:
        where = torch_device(device)
        self.video_tower = video.to(where).float().eval().requires_grad_(False)
        self.text_tower = text.to(where).float().eval().requires_grad_(False)
        self.provenance = provenance
        self.device, self.precision = device, precision
        self._texts: dict[str, TextFeature] = {}
        self._tokenizer: SimpleTokenizer | None = None

    def video(self, frames: NDArray[np.uint8]) -> Feature:
        """Unit feature (768,) of eight frames cut by `centre_cut`, uint8 (8, 3, 224, 224)."""
        import torch

        with torch.inference_mode(), multiplied(self.device, self.precision):
            pixels = normalise(torch.from_numpy(frames).to(self.device))
            return _unit(self.video_tower(pixels[None]))

    def text(self, prompt: str) -> TextFeature:
        """Unit feature of a prompt, cut to 32 tokens with the end mark kept."""
        import torch

        if prompt not in self._texts:
            if self._tokenizer is None:
                from open_clip.tokenizer import SimpleTokenizer

                self._tokenizer = SimpleTokenizer(context_length=TOKENS)
            tokens = self._tokenizer([prompt]).to(self.device)
            pieces = len(self._tokenizer.encode(prompt))
            with torch.inference_mode(), multiplied(self.device, self.precision):
                feature = _unit(self.text_tower(tokens))
            dropped = max(0, pieces + 2 - tokens.shape[1])
            self._texts[prompt] = TextFeature(feature, pieces, dropped)
        return self._texts[prompt]


class VideoTextPass:
    """Keeps eight cut frames of a clip and encodes them when it ends."""

    name = "video_text"

    def __init__(self, encoder: ViClip) -> None:
        self.encoder = encoder

    def start(self, clip: ClipInfo) -> None:
        """Choose the frames: the middles of eight equal parts, a short clip's last frame repeated."""
        self._indices = tuple(int(index) for index in middle_indices(clip.n_frames))
        self._cuts: dict[int, NDArray[np.uint8]] = {}

    def feed(self, index: int, frame: Frame) -> None:
        """Cut frame `index` if it is one of the eight."""
        if index in self._indices:
            self._cuts[index] = centre_cut(frame)

    def finish(self) -> VideoText:
        """Encode."""
        frames = np.stack([self._cuts[index] for index in self._indices])
        return VideoText(self.encoder.video(frames), self._indices, self.encoder)


def centre_cut(frame: Frame) -> NDArray[np.uint8]:
    """Short side to 224 px by bicubic interpolation without antialiasing, rounded to uint8, centre 224 x 224.

    uint8 (H, W, 3) -> uint8 (3, 224, 224). The rounding and the missing antialiasing are VBench's; without
    them the input moves by up to 0.0075 and 0.6 (standard deviations).
    """
    import torch
    import torch.nn.functional as F

    height, width = frame.shape[:2]
    short = min(height, width)
    size = (int(SIDE * height / short), int(SIDE * width / short))
    pixels = torch.tensor(frame).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=False)
    top, left = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
    cut = small.clamp(0, 255).round()[0, :, top : top + SIDE, left : left + SIDE]
    return cut.byte().numpy()


def normalise(cuts: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 with CLIP's mean and deviation."""
    import torch

    mean = torch.tensor(MEAN, device=cuts.device).view(3, 1, 1)
    std = torch.tensor(STD, device=cuts.device).view(3, 1, 1)
    return (cuts.float() / 255.0 - mean) / std


def make_viclip(
    device: str = "cpu", weights: str | Path | None = None, tiny: bool = False, precision: Arithmetic = "fp32"
) -> ViClip:
    """ViCLIP in evaluation mode.

    `weights` None takes the registered file that is on disk, VBench's checkpoint first; a path takes that file;
    "random" draws weights with a fixed seed. `tiny` is a small random network. `precision` is how it multiplies.
    Raises MissingWeights or WeightsError.
    """
    import open_clip
    import torch

    from mmbench.encode.viclip.net import LARGE, TINY, VideoTower, text_tower

    versions = {
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "device": device,
        "precision": precision,
    }
    provenance = Provenance("viclip", versions=versions)
    if tiny or weights == "random":
        size = TINY if tiny else LARGE
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            video, text = VideoTower(size), text_tower(size)
        return ViClip(video, text, replace(provenance, random_weights=True), device, precision)
    with torch.device("meta"):  # 1.2 GB that would only be overwritten
        video = VideoTower(LARGE)
    text = text_tower(LARGE)
    digest = _load_towers(video, text, weights)
    return ViClip(video, text, replace(provenance, weights=digest), device, precision)


def _load_towers(video: VideoTower, text: nn.Module, weights: str | Path | None) -> dict[str, str]:
    from mmbench.weights import first_of, load, load_file, load_strict

    if weights is None:
        name, path = first_of(*REGISTERED)
        loaded = load(name, key="" if path.suffix == ".safetensors" else "model")
    else:
        path = Path(weights)
        loaded = load_file(path, key="" if path.suffix == ".safetensors" else "model")
    state = {key.removeprefix("model."): tensor for key, tensor in loaded.state.items()}
    state.pop("temp", None)  # the training temperature
    if (kernel := state.get("vision_encoder.conv1.weight")) is not None and kernel.ndim == 5:
        state["vision_encoder.conv1.weight"] = kernel.squeeze(2)
    towers = {"vision_encoder.": video, "text_encoder.": text}
    for prefix, tower in towers.items():
        load_strict(tower, _below(state, prefix), f"{loaded.path} ({prefix}*)")
    if left := sorted(key for key in state if not key.startswith(tuple(towers))):
        from mmbench.errors import WeightsError

        raise WeightsError(f"{loaded.path} has unknown keys: {', '.join(left[:8])}.", "Use the published file.")
    return {loaded.name: loaded.sha256}


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def _unit(features: Tensor) -> Feature:
    vector = features[0].float()
    unit: Feature = (vector / vector.norm()).cpu().numpy()
    return unit
