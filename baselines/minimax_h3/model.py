"""MiniMax-H3 (MiniMax 2026), omni-reference: pictures and prompt to video and sound, by diffusers' modular pipeline.

Recipe of github.com/MiniMax-AI/MiniMax-H3 (its README and published requests) and of diffusers' documentation, to which
it sends: 768x1344, 124 frames at 24 fps (17n + 5, 5 to 15 s), 50 points of noise, so 49 forwards; guidance is in its
weights, so there is neither guidance nor a negative prompt; shift 12 for video, 3 for sound. All pictures are shown, in
order, each with a short edge of 2048 and its latents drawn with seed 42. The prompt stands in six sections, which its
makers have a service write and `mmbench.baselines.minimax_h3.prompt` writes plainly: their own videos may be better.
The sound that is made with the pictures is left out. Its licence grants nothing in the EU, the United Kingdom, South
Korea and the United States, for weights or for videos: nothing runs until it is accepted by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from mmbench.baselines.contract import Kind, Native, PromptKind, Request, Setting, Size
from mmbench.baselines.loading.diffusers_folder import open_part, read_config
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.minimax_h3.prompt import in_sections
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, TorchBaseline, seeded, to_uint8
from mmbench.errors import MissingDependency, RequestError, WeightsError

if TYPE_CHECKING:
    import torch

LICENCE: Final = "MiniMax H3 Community License of 2 August 2026"
LICENCE_AT: Final = "https://huggingface.co/MiniMaxAI/MiniMax-H3/blob/main/LICENSE"
LIMITS: Final = (
    "grants nothing in the EU, the United Kingdom, South Korea and the United States, where neither weights nor videos "
    "may be used or shown without its makers' own authorisation; above 20 million US dollars of yearly revenue only "
    "with permission; videos may train no other model, and commercial products that use it must name it"
)
NETWORKS: Final[dict[str, tuple[str, str]]] = {
    "transformer_ref": ("diffusers", "MiniMaxH3Transformer3DModel"),
    "text_encoder": ("transformers", "Qwen3VLForConditionalGeneration"),
    "vae": ("diffusers", "AutoencoderKLMiniMaxH3"),
    "audio_vae": ("diffusers", "AutoencoderKLMiniMaxH3Audio"),
}
"""Networks of the omni-reference workflow: the repository's `transformer` serves other tasks and is not read."""
SCHEDULERS: Final = ("scheduler", "audio_scheduler")
REPOSITORY: Final = Repository(
    "MiniMaxAI/MiniMax-H3",
    LICENCE,
    144 * 10**9,
    LIMITS,
    parts=(*NETWORKS, *SCHEDULERS, "tokenizer", "processor"),
)
INDEX: Final = "modular_model_index.json"
SHORT_EDGE: Final = "reference_image_short_edge"
"""The only value taken from the index: it names classes and other repositories too, which are not trusted."""
PUBLISHED_EDGE: Final = 2048
"""Pixels of a picture's shorter side where the index does not say."""
RESIDENT: Final = 160 * 1024**3
"""Bytes of weights in bfloat16 with room for a video; estimated, not measured."""
SPARE: Final = "12GB"
"""Kept free on the accelerator for a video while networks take turns there, as diffusers' documentation does."""
FRAMES: Final = (124, 345)
"""Fewest and most frames of 17n + 5 within 5 to 15 seconds."""


@dataclass(frozen=True)
class H3Options(Options):
    """The licence, and what the pipeline is told beyond a request's fields."""

    accept_licence: bool = option(False, f"true: you have read the {LICENCE} and it grants you this use")
    form: Literal["sections", "plain"] = option("sections", "the prompt in the six sections it was taught, or as it is")


class MiniMaxH3(TorchBaseline):
    """Omni-reference to video: all pictures of the person are shown, in order."""

    name: ClassVar[str] = "minimax_h3"
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = ("ref2va",)
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    licence: ClassVar[str] = f"{LICENCE}; {LIMITS}"
    negative: ClassVar[str] = ""
    paper_parts: ClassVar[tuple[str, ...]] = tuple(NETWORKS)
    options_type: ClassVar[type[Options]] = H3Options

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.pipe: Any = None

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(32, 64), frames=FRAMES[0], fps=24, steps=3, guidance=1.0)
        return Native(size=(768, 1344), frames=FRAMES[0], fps=24, steps=50, guidance=1.0)

    def changed_options(self, given: Mapping[str, Setting]) -> dict[str, Setting]:
        """Without the licence's acceptance, which changes no picture."""
        changed = super().changed_options(given)
        return {name: value for name, value in changed.items() if name != "accept_licence"}

    def check(self, request: Request, variant: str | None = None) -> None:
        """As every model's, and: the licence is accepted (not for random weights), no guidance, no negative prompt."""
        super().check(request, variant)
        if self.pick_variant(variant) in self.variants and not self.resolve_options(request.options)["accept_licence"]:
            raise RequestError(
                f"{self.name} is under the {LICENCE}: it {LIMITS}.",
                f"Read it at {LICENCE_AT}; if it grants you this use, say so: --option accept_licence=true "
                "(in a settings file `options: {accept_licence: true}`).",
            )
        if request.guidance not in (None, 1.0) or request.negative:
            raise RequestError(
                f"{self.name} takes neither guidance nor a negative prompt: its guidance is in its weights.",
                "Leave `guidance` and `negative` out.",
            )
        if request.steps == 1:
            raise RequestError(
                f"{self.name} makes one forward less than its steps, which count the last, noiseless point.",
                "Use steps >= 2.",
            )
        for picture in request.references:
            if max(picture.size) > 4 * min(picture.size):
                width, height = picture.size
                raise RequestError(
                    f"{self.name} takes pictures between 1:4 and 4:1, not {width}x{height}.", "Crop the reference."
                )

    def check_shape(self, size: Size, frames: int, variant: str) -> None:
        own = self.native(variant)
        few, many = FRAMES
        if frames % 17 != 5 or not few <= frames <= many:
            raise RequestError(
                f"{self.name} makes 17n + 5 frames, {few} to {many}, not {frames}.", f"Use {own.frames}, or {few + 17}."
            )
        if any(side % 32 for side in size) or max(size) > 4 * min(size):
            said = f"{self.name} makes sizes in thirty-twos, between 1:4 and 4:1, not {size[0]}x{size[1]}."
            raise RequestError(said, f"Use {own.size[0]}x{own.size[1]}.")

    def require(self, weights_dir: Path, variant: str) -> None:
        if variant in self.variants:
            REPOSITORY.require(weights_dir)

    def weights_in_use(self, weights_dir: Path, variant: str) -> list[dict[str, str]]:
        return REPOSITORY.in_use(weights_dir) if variant in self.variants else []

    def read(self, variant: str, weights_dir: Path) -> None:
        from diffusers import MiniMaxH3Blocks, MiniMaxH3ModularPipeline, MiniMaxH3Scheduler
        from diffusers.modular_pipelines import ComponentsManager
        from transformers import AutoTokenizer, Qwen3VLProcessor

        if not hasattr(Qwen3VLProcessor, "create_mm_token_type_ids"):
            raise MissingDependency(
                f"{self.name} needs transformers 5.4 or newer, whose reader of pictures tells text from pictures.",
                "pip install -U transformers",
            )
        folder = REPOSITORY.require(weights_dir)
        parts = {name: open_part(*place, folder / name, self.dtype) for name, place in NETWORKS.items()}
        others = {name: MiniMaxH3Scheduler.from_pretrained(folder / name, local_files_only=True) for name in SCHEDULERS}
        others["tokenizer"] = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        others["processor"] = Qwen3VLProcessor.from_pretrained(folder / "processor", local_files_only=True)
        manager = ComponentsManager() if lacks_room(self.device) else None
        self.pipe = MiniMaxH3ModularPipeline(MiniMaxH3Blocks().get_workflow("ref2va"), components_manager=manager)
        self.pipe.update_components(**parts, **others, **{SHORT_EDGE: short_edge(folder)})
        self.pipe.set_progress_bar_config(disable=True)
        if manager is None:
            self.pipe.to(self.device)
        else:
            manager.enable_auto_cpu_offload(device=self.device, memory_reserve_margin=SPARE)
        self.placement = "device" if manager is None else "offload"

    def sample(self, plan: Plan) -> Sampled:
        from diffusers.modular_pipelines.minimax_h3 import MiniMaxH3ImageReference

        options = plan.options
        assert isinstance(options, H3Options)
        sent = plan.prompt
        if options.form == "sections":
            sent = in_sections(plan.prompt, plan.class_word, len(plan.references))
        height, width = plan.size
        videos = self.pipe(
            prompt=sent,
            references=[MiniMaxH3ImageReference(image=picture) for picture in plan.references],
            height=height,
            width=width,
            num_frames=plan.frames,
            num_inference_steps=plan.steps,
            generator=seeded(plan.seed),
            output_type="np",
            output="videos",
        )
        return Sampled(
            frames=to_uint8(videos[0]),
            truncated=False,  # the whole prompt is packed into the sequence, whatever its length
            settings={
                "scheduler": "MiniMaxH3Scheduler",
                "forwards": plan.steps - 1,
                "references_used": len(plan.references),
                "prompt_sent": sent,
                "sound": "made with the video and left out",
            },
        )

    def networks(self) -> Mapping[str, torch.nn.Module]:
        return {} if self.pipe is None else {name: getattr(self.pipe, name) for name in NETWORKS}

    def close(self) -> None:
        self.pipe = self.variant = None


def short_edge(folder: Path) -> int:
    """Pixels of the shorter side that pictures are resized to. Raises WeightsError for an index with no such number."""
    index = read_config(folder / INDEX) if (folder / INDEX).is_file() else {}
    edge = index.get(SHORT_EDGE, PUBLISHED_EDGE)
    if type(edge) is not int or not 32 <= edge <= 2 * PUBLISHED_EDGE:
        raise WeightsError(f"{folder / INDEX}: {SHORT_EDGE} is {edge!r}, no number of pixels.", "Fetch it again.")
    return edge


def lacks_room(device: str) -> bool:
    """Whether an accelerator has not the memory for all networks at once, so that they have to take turns on it."""
    import torch

    return device.startswith("cuda") and torch.cuda.mem_get_info(device)[0] < RESIDENT
