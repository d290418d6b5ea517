"""The networks that the stages ask, by name: the one place that knows every adapter."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmbench.data.settings import ToolSettings
from mmbench.data.stages import Tools
from mmbench.data.types import Captioner, Encoder, Generator, Judge, Size
from mmbench.errors import ManifestError, MissingWeights, WeightsError, require_extra

if TYPE_CHECKING:
    from mmbench.face.types import Analyser
    from mmbench.video.clip import Frame

PRESETS = {"minigemini": "YanweiLi/MGM-8B-HD", "cogvlm": "zai-org/cogvlm-chat-hf"}
"""The paper's captioners. Their repositories bring code of their own, which is not run: they load where the installed
transformers has their classes."""
QUESTION = (
    "Describe this in one or two sentences: the person (as a man, woman, boy, girl or child), clothes, what the person "
    "does, the place. If any writing, watermark or logo can be seen, say so."
)
NEW_TOKENS = 160


def make_tools(settings: ToolSettings) -> Tools:
    """Makers of the networks of the settings; nothing is loaded yet."""

    def flow() -> Any:
        from mmbench.flow.make import make_flow

        return make_flow(settings.flow, settings.device)

    return Tools(
        analyser=lambda: make_analyser(settings),
        captioner=lambda: make_captioner(settings.captioner, settings.device),
        generator=lambda: make_generator(settings),
        judge=lambda: make_judge(settings.judge, settings.device),
        flow=flow,
        encoder=lambda: make_encoder(settings.base, settings.device),
    )


def own(name: str, setting: str) -> Any:
    """What `module:function` returns. Raises ManifestError naming the setting."""
    module, _, function = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as cause:
        raise ManifestError(f"tools.{setting}: {name}: {cause}.", "Write module:function.") from cause
    return made()


def make_analyser(settings: ToolSettings) -> Analyser:
    """Faces by "insightface" (the pack that Magic Mirror was trained with), "dlib", "retinaface", "drawn"."""
    name = settings.faces
    if ":" in name:
        return cast("Analyser", own(name, "faces"))
    if name == "drawn":
        from mmbench.data.drawn import DrawnFaces

        return DrawnFaces()
    if name == "insightface":
        from mmbench.face.packs import BUFFALO_L, open_analyser

        return open_analyser(BUFFALO_L, _weights(settings), settings.device)
    from mmbench.face.analyser import BackendAnalyser
    from mmbench.face.make import make_backend

    return BackendAnalyser(make_backend(name, device=settings.device))


def _weights(settings: ToolSettings) -> Path:
    from mmbench.weights.cache import cache_dir

    return settings.weights or cache_dir()


def make_captioner(name: str, device: str) -> Captioner:
    """Captions by a preset of the paper's captioners, any vision-language model of transformers, or "drawn"."""
    if name == "drawn":
        from mmbench.data.drawn import DrawnCaptions

        return DrawnCaptions()
    if ":" in name:
        return cast("Captioner", own(name, "captioner"))
    return VisionLanguage(PRESETS.get(name, name), device)


class VisionLanguage:
    """A vision-language model of transformers, by its hub name or folder. Code of its repository is never run."""

    def __init__(self, model: str, device: str) -> None:
        require_extra("generate", "transformers")
        from transformers import AutoModelForImageTextToText, AutoProcessor

        from mmbench.device import torch_device

        self.device = torch_device(device)
        try:
            self.processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
            self.model = AutoModelForImageTextToText.from_pretrained(
                model, trust_remote_code=False, use_safetensors=True, dtype="auto"
            )
        except OSError as cause:
            raise MissingWeights(
                f"{model}: cannot be loaded as a captioner: {cause}.", "Get the model first."
            ) from cause
        except (ValueError, KeyError, ImportError) as cause:
            raise WeightsError(
                f"{model}: the installed transformers has no class for this captioner ({type(cause).__name__}: "
                f"{str(cause).splitlines()[0] if str(cause) else ''}), and code of its repository is not run.",
                "Name another vision-language model of transformers, or module:function of your own.",
            ) from cause
        self.model.eval().to(self.device)

    @torch.no_grad()
    def caption(self, frames: Sequence[Frame]) -> str:
        """The answer to one fixed question about the frames, the likeliest word each time."""
        from PIL import Image

        pictures = [Image.fromarray(frame) for frame in frames]
        said = [*({"type": "image"} for _ in pictures), {"type": "text", "text": QUESTION}]
        asked = self.processor.apply_chat_template([{"role": "user", "content": said}], add_generation_prompt=True)
        given = self.processor(text=asked, images=pictures, return_tensors="pt").to(self.device)
        for name, value in given.items():
            if torch.is_tensor(value) and value.is_floating_point():
                given[name] = value.to(self.model.dtype)
        answer = self.model.generate(**given, max_new_tokens=NEW_TOKENS, do_sample=False)
        words = self.processor.batch_decode(answer[:, given["input_ids"].shape[1] :], skip_special_tokens=True)[0]
        return " ".join(words.split())


def make_generator(settings: ToolSettings) -> Generator:
    """Pictures by a first-frame maker of `baselines` (photomaker_v2, `NAME/VARIANT`), or "drawn"."""
    name = settings.generator
    if name == "drawn":
        from mmbench.data.drawn import DrawnGenerator

        return DrawnGenerator()
    if ":" in name:
        return cast("Generator", own(name, "generator"))
    return ModelPhotos(name, settings)


class ModelPhotos:
    """A first-frame maker of `baselines` as a `Generator`; its weights are read once."""

    def __init__(self, name: str, settings: ToolSettings) -> None:
        from mmbench.baselines.registry import create_first_frame

        kind, _, variant = name.partition("/")
        self.maker = create_first_frame(kind)
        picked = self.maker.pick_variant(variant or None)
        weights = _weights(settings)
        self.maker.require(weights, picked)
        self.maker.load(settings.device, "auto", picked, weights)

    def make(self, prompt: str, references: Sequence[Frame], size: Size, seed: int) -> Frame:
        """One picture (H, W, 3) of `size`."""
        from PIL import Image

        made = self.maker.make(prompt, [Image.fromarray(frame) for frame in references], size, seed)
        return np.array(made.convert("RGB"), dtype=np.uint8)


def make_judge(name: str, device: str) -> Judge | None:
    """An image classifier of transformers by its name; None where none is named."""
    if not name:
        return None
    return cast("Judge", own(name, "judge")) if ":" in name else Classifier(name, device)


class Classifier:
    """An image classifier of transformers with a label "nsfw", "porn", "sexy" or "hentai"; their scores are added."""

    LABELS = frozenset(("nsfw", "porn", "sexy", "hentai", "unsafe"))

    def __init__(self, model: str, device: str) -> None:
        require_extra("generate", "transformers")
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        from mmbench.device import torch_device

        self.device = torch_device(device)
        try:
            self.processor = AutoImageProcessor.from_pretrained(model, trust_remote_code=False)
            self.model = AutoModelForImageClassification.from_pretrained(
                model, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError, KeyError, ImportError) as cause:
            raise MissingWeights(f"{model}: cannot be loaded as a judge: {cause}.", "Name another.") from cause
        self.rows = [row for row, label in self.model.config.id2label.items() if label.lower() in self.LABELS]
        if not self.rows:
            labels = ", ".join(map(str, self.model.config.id2label.values()))
            raise WeightsError(f"{model}: none of its labels ({labels}) says what is not to be shown.", "Name another.")
        self.model.eval().to(self.device)

    @torch.no_grad()
    def score(self, picture: Frame) -> float:
        """The sum of those labels' probabilities."""
        from PIL import Image

        pixels = self.processor(images=Image.fromarray(picture), return_tensors="pt").to(self.device)
        chances = self.model(**pixels).logits.float().softmax(dim=-1)[0]
        return float(chances[self.rows].sum())


class BaseEncoder:
    """A codec and a T5 with its tokenizer, of CogVideoX or of a small model, as an `Encoder`."""

    def __init__(self, vae: Any, tokenizer: Any, encoder: Any, rows: int, name: str, device: str = "cpu") -> None:
        from mmbench.device import torch_device

        self.device = torch_device(device)
        self.vae, self.tokenizer, self.encoder = vae.eval().to(self.device), tokenizer, encoder.eval().to(self.device)
        self.rows, self.name = rows, name

    @torch.no_grad()
    def latents(self, frames: NDArray[np.uint8]) -> Tensor:
        """The mean of the posterior, unscaled: [T', C, h, w] in the codec's dtype."""
        pixels = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1
        given = pixels[None].to(self.device, self.vae.dtype)
        found = self.vae.encode(given).latent_dist.mode()[0]
        made: Tensor = found.permute(1, 0, 2, 3).contiguous().cpu()
        return made

    @torch.no_grad()
    def text(self, caption: str) -> Tensor:
        """[rows, text_dim]: all rows, encoded without a mask as CogVideoX does."""
        ids = self.tokenizer(
            caption, padding="max_length", max_length=self.rows, truncation=True, return_tensors="pt"
        ).input_ids
        made: Tensor = self.encoder(ids.to(self.device))[0][0].cpu()
        return made

    def word_rows(self, caption: str) -> tuple[int, ...]:
        """Rows of the identity word. Raises RequestError where it lies beyond the last one."""
        from mmbench.model.pipeline.prompt import identity_mask, parse_prompt

        mask = identity_mask(self.tokenizer, parse_prompt(caption), self.rows)
        return tuple(int(row) for row in mask.nonzero()[:, 0])


def make_encoder(base: str, device: str) -> Encoder:
    """Codec and text encoder of a diffusers folder or hub name, or of `small:NAME` (always the same)."""
    require_extra("train")
    kind, _, size_name = base.partition(":")
    if kind == "small":
        from mmbench.model.network.configs import size_named
        from mmbench.model.small.nano import fitted_codec, offline_tokenizer, tiny_text_encoder

        size = size_named(size_name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            text = tiny_text_encoder(size)
        rows = size.transformer["max_text_seq_length"]
        return BaseEncoder(fitted_codec(size), offline_tokenizer(size), text, rows, base, device)
    from diffusers import AutoencoderKLCogVideoX
    from transformers import AutoTokenizer, T5EncoderModel

    try:
        vae = AutoencoderKLCogVideoX.from_pretrained(base, subfolder="vae", torch_dtype=torch.bfloat16)
        tokenizer = AutoTokenizer.from_pretrained(base, subfolder="tokenizer")
        encoder = T5EncoderModel.from_pretrained(base, subfolder="text_encoder", dtype=torch.bfloat16)
    except (OSError, ValueError) as cause:
        raise MissingWeights(f"{base}: codec and text encoder cannot be loaded: {cause}.", "Get the base.") from cause
    vae.enable_tiling()
    commit = getattr(encoder.config, "_commit_hash", None)
    return BaseEncoder(vae, tokenizer, encoder, 226, f"{base}@{commit}" if commit else base, device)
