"""What the nano world's encoder sees of a clip, as a need of metrics; its weights come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.files import sha256_file
from mmbench.scores import Provenance
from mmbench.video.need import FrameNeed, Maker, Networks

if TYPE_CHECKING:
    from torch import Tensor

    from mmbench.config import EvaluateSettings
    from mmbench.encode.nano_world.network import NanoClipEncoder
    from mmbench.video.clip import ClipInfo, Frame

WEIGHTS: Final = Path(__file__).parent / "clip_encoder.safetensors"
"""Trained by this project (`mmbench nano judges`); its card is NANO.md beside the nano model."""


@dataclass(frozen=True)
class NanoView:
    """`video` float32 (64,), unit length. `log_probs` float32 (9, classes) of the frames it saw.

    `encoder` makes the captions' side.
    """

    video: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    encoder: NanoClipEncoder
    provenance: Provenance


class NanoViewPass:
    """Keeps the frames of a clip, made small, and encodes them when it ends."""

    name = "nano_world"

    def __init__(self, encoder: NanoClipEncoder, provenance: Provenance) -> None:
        self.encoder, self.provenance = encoder, provenance

    def start(self, clip: ClipInfo) -> None:
        """Choose nine evenly spaced frames; of a shorter clip some are taken twice."""
        from mmbench.encode.nano_world.network import FRAMES

        self._indices = np.linspace(0, clip.n_frames - 1, FRAMES).round().astype(int)
        self._small: dict[int, Tensor] = {}

    def feed(self, index: int, frame: Frame) -> None:
        """Make frame `index` small if it is one of the nine."""
        from mmbench.encode.nano_world.network import small_square

        if index in self._indices:
            self._small[index] = small_square(frame)

    def finish(self) -> NanoView:
        """Encode them."""
        import torch

        clip = torch.stack([self._small[int(index)] for index in self._indices])[None]
        with torch.inference_mode():
            seen = self.encoder.frames(clip)
            probs = torch.log_softmax(self.encoder.classifier(seen[0]), dim=1)
            video = self.encoder.video(seen)[0]
        return NanoView(video.numpy(), probs.numpy(), self.encoder, self.provenance)


class NanoWorldNeed(FrameNeed[NanoView]):
    """The clip as the nano world's own encoder sees it."""

    name = "nano world"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its bundled weights."""
        return {"weights": sha256_file(WEIGHTS)}

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[NanoView]:
        """The encoder, on the processor: it is too small for anything else. Raises WeightsError."""
        encoder, provenance = networks.once(("nano world",), _load)
        return Maker(lambda: NanoViewPass(encoder, provenance))


def _load() -> tuple[NanoClipEncoder, Provenance]:
    import torch

    from mmbench.encode.nano_world.network import load_clip_encoder

    made = Provenance("encoder", {"nano clip encoder": sha256_file(WEIGHTS)}, {"torch": torch.__version__})
    return load_clip_encoder(WEIGHTS), made


NANO_WORLD = NanoWorldNeed()
