"""What metrics may ask of whole pictures: the video and text features of a clip, the classes of every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmbench.video.need import FrameNeed, Maker, Networks

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.encode.inception.classes import InceptionResult
    from mmbench.encode.viclip.alignment import VideoText


class VideoTextNeed(FrameNeed["VideoText"]):
    """ViCLIP's feature of a clip, and the encoder of prompts."""

    name = "video_text"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its weights and device."""
        return _depends_on(settings, "viclip", "viclip-safetensors")

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[VideoText]:
        """ViCLIP. Raises MissingWeights or WeightsError."""
        from mmbench.encode.viclip.alignment import VideoTextPass, make_viclip

        device, tiny = settings.device, settings.random_weights
        encoder = networks.once(("viclip", device, tiny), lambda: make_viclip(device, tiny=tiny))
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
        """Its weights and device."""
        return _depends_on(settings, "inception-2015-12-05")

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[InceptionResult]:
        """The network. Raises MissingWeights or WeightsError."""
        from mmbench.encode.inception.classes import InceptionPass, make_inception

        device, tiny = settings.device, settings.random_weights
        network = networks.once(("inception", device, tiny), lambda: make_inception(device, tiny=tiny))
        return Maker(lambda: InceptionPass(network))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights where the file is not here."""
        from mmbench.weights import path

        if not settings.random_weights:
            path("inception-2015-12-05")


def _depends_on(settings: EvaluateSettings, *names: str) -> dict[str, Any]:
    if settings.random_weights:
        return {"device": settings.device, "weights": "random"}
    from mmbench.weights.identity import identity

    return {"device": settings.device, "weights": identity(*names)}


VIDEO_TEXT = VideoTextNeed()
INCEPTION = InceptionNeed()
