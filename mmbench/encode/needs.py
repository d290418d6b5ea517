"""What metrics may ask of whole pictures: the video and text features of a clip, the classes of every frame.

CLIP's features of single frames serve CLIPScore and the aesthetic score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmbench.video.need import FrameNeed, Maker, Networks

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.encode.clip.frames import ClipFrames
    from mmbench.encode.inception.classes import InceptionResult
    from mmbench.encode.viclip.alignment import VideoText


class VideoTextNeed(FrameNeed["VideoText"]):
    """ViCLIP's feature of a clip, and the encoder of prompts."""

    name = "video_text"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its weights, device and arithmetic."""
        return _depends_on(settings, "viclip", "viclip-safetensors")

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[VideoText]:
        """ViCLIP. Raises MissingWeights or WeightsError."""
        from mmbench.encode.viclip.alignment import VideoTextPass, make_viclip

        device, tiny, how = settings.device, settings.random_weights, settings.precision
        encoder = networks.once(("viclip", device, tiny, how), lambda: make_viclip(device, tiny=tiny, precision=how))
        return Maker(lambda: VideoTextPass(encoder))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights where ViCLIP's file is not here."""
        from mmbench.weights import first_of

        if not settings.random_weights:
            first_of("viclip", "viclip-safetensors")


class InceptionNeed(FrameNeed["InceptionResult"]):
    """Class probabilities of every frame by the FID Inception network."""

    name = "inception"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its weights, device and arithmetic."""
        return _depends_on(settings, "inception-2015-12-05")

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[InceptionResult]:
        """The network. Raises MissingWeights or WeightsError."""
        from mmbench.encode.inception.classes import InceptionPass, make_inception

        device, tiny, how = settings.device, settings.random_weights, settings.precision
        network = networks.once(
            ("inception", device, tiny, how), lambda: make_inception(device, tiny=tiny, precision=how)
        )
        return Maker(lambda: InceptionPass(network))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights where the file is not here."""
        from mmbench.weights import path

        if not settings.random_weights:
            path("inception-2015-12-05")


class ClipFramesNeed(FrameNeed["ClipFrames"]):
    """CLIP ViT-B/32's features of 16 frames, in both orders of colours, and its encoder of prompts."""

    name = "clip frames"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its weights, device and arithmetic."""
        return _depends_on(settings, "clip-vit-base-patch32")

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[ClipFrames]:
        """The network. Raises MissingWeights or WeightsError."""
        from mmbench.encode.clip.aesthetic import early_frames
        from mmbench.encode.clip.frames import BASE, ClipPass, make_clip

        device, tiny, how = settings.device, settings.random_weights, settings.precision
        eyes = networks.once(("clip", BASE, device, tiny, how), lambda: make_clip(BASE, device, tiny, precision=how))
        return Maker(lambda: ClipPass(eyes, early_frames, ("rgb", "bgr")))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights where the file is not here."""
        from mmbench.weights import path

        if not settings.random_weights:
            path("clip-vit-base-patch32")


class AestheticNeed(FrameNeed["ClipFrames"]):
    """CLIP ViT-L/14's features of 32 frames, and LAION's head that scores them."""

    name = "aesthetic"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Both files, the device and the arithmetic."""
        own = {} if settings.random_weights else _depends_on(settings, "laion-aesthetic-v2")
        return {**_depends_on(settings, "clip-vit-large-patch14"), "head": own.get("weights", "random")}

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[ClipFrames]:
        """The networks. Raises MissingWeights or WeightsError."""
        from mmbench.encode.clip.aesthetic import spread_frames
        from mmbench.encode.clip.frames import LARGE, ClipPass, make_clip

        device, tiny, how = settings.device, settings.random_weights, settings.precision
        self.check(settings)
        eyes = networks.once(
            ("aesthetic", device, tiny, how), lambda: make_clip(LARGE, device, tiny, aesthetic=True, precision=how)
        )
        return Maker(lambda: ClipPass(eyes, spread_frames))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights where one of the files is not here."""
        from mmbench.weights import all_of

        if not settings.random_weights:
            all_of(("clip-vit-large-patch14", "laion-aesthetic-v2"), "aesthetic")


def _depends_on(settings: EvaluateSettings, *names: str) -> dict[str, Any]:
    own = {"device": settings.device}
    if (settings.device, settings.precision) != ("cpu", "fp32"):  # there, as it was before there was a choice
        own["precision"] = settings.precision
    if settings.random_weights:
        return {**own, "weights": "random"}
    from mmbench.weights.identity import identity

    return {**own, "weights": identity(*names)}


VIDEO_TEXT = VideoTextNeed()
INCEPTION = InceptionNeed()
CLIP_FRAMES = ClipFramesNeed()
AESTHETIC = AestheticNeed()
