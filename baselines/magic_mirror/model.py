"""Magic Mirror itself, behind the interface of its rivals: `mmbench.model`'s pipeline.

No weights of the authors exist. The full-size model needs an adapter that the user trained; nano and smoke are the same
classes with small numbers and random weights, and say so in every video's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

import numpy as np

from mmbench.baselines.cogvideox.model import LICENCE
from mmbench.baselines.contract import Kind, Native, PromptKind, Request, Size
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, TorchBaseline, is_cut, place, seeded, to_uint8
from mmbench.device import beside_torch
from mmbench.errors import MissingWeights, RequestError
from mmbench.files import sha256_file
from mmbench.trigger import TRIGGER, count_triggers, marked_word
from mmbench.video.write import enlarge
from mmbench.weights.folders import registered, repo_folder, require_file

if TYPE_CHECKING:
    import torch

    from mmbench.weights import WeightFile

BASE_REPO = "THUDM/CogVideoX-5b"
PHOTOMAKER_REPO = "TencentARC/PhotoMaker-V2"
ADAPTER = Path("magic_mirror") / "magic_mirror.safetensors"
"""Where a trained identity adapter is looked for below the weights folder."""
TRAINED_NANO: Final = Path(__file__).resolve().parent / "nano"
"""The nano model that this project trained on rendered people; its card lies beside it."""
OWN_NANO: Final = Path("magic_mirror") / "nano"
"""Where a nano model of the user's own (`mmbench nano assemble`) is looked for below the weights folder, first."""
ENLARGED = 4
"""The trained nano model makes 64 x 64 pixels, which face detectors cannot read; its videos are enlarged this often."""


@dataclass(frozen=True)
class MagicMirrorOptions(Options):
    """How strongly, how, and from which step on the identity acts (`mmbench.model.pipeline`)."""

    identity_scale: float = option(1.0, "strength of the identity; 0 is the base model", 0, 1.5)
    identity_guidance: Literal["shared", "null", "base", "split"] = option(
        "shared", "what the unconditional half of guidance sees of the identity"
    )
    identity_guidance_scale: float | None = option(None, "with split: the identity's own guidance weight", 0, 1000)
    identity_start_step: int = option(0, "first sampling step, counted from 0, that sees the identity", 0)
    dynamic_guidance: Literal["auto", "off", "cogvideox", "cosine"] = option(
        "auto", "guidance over the steps; auto is the base authors' choice for the scheduler"
    )

    def check(self) -> None:
        if self.identity_guidance_scale is not None and self.identity_guidance != "split":
            raise RequestError(
                f"identity_guidance_scale means nothing with identity_guidance {self.identity_guidance}.",
                "Set identity_guidance to split, or leave identity_guidance_scale out.",
            )


class MagicMirror(TorchBaseline):
    """Identity model; takes all references and the long prompt with its trigger."""

    name: ClassVar[str] = "magic_mirror"
    kind: ClassVar[Kind] = "identity"
    needs_trigger: ClassVar[bool] = True
    variants: ClassVar[tuple[str, ...]] = ("5b", "nano-trained")
    tiny_variants: ClassVar[tuple[str, ...]] = ("nano", "smoke")
    options_type: ClassVar[type[Options]] = MagicMirrorOptions
    licence: ClassVar[str] = (
        f"of the base: {LICENCE}; insightface buffalo_l: non-commercial research only; the adapter is whose you trained"
    )
    conditioned_on: ClassVar[tuple[str, ...]] = ("buffalo-l-w600k-r50",)
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "face_encoder", "text_encoder", "vae")

    def __init__(self, prompt_kind: PromptKind | None = None, adapter: Path | None = None) -> None:
        super().__init__(prompt_kind)
        self.adapter = adapter
        self.pipe: Any = None

    def native(self, variant: str | None = None) -> Native:
        variant = self.pick_variant(variant)
        if variant == "5b":
            return Native(size=(480, 720), frames=49, fps=8, steps=50, guidance=6.0)
        if variant == "nano-trained":
            return Native(size=(64 * ENLARGED, 64 * ENLARGED), frames=9, fps=8, steps=20, guidance=2.0)
        side = {"nano": 64, "smoke": 32}[variant]
        return Native(size=(side, side), frames=9, fps=8, steps=4, guidance=6.0)

    def check(self, request: Request, variant: str | None = None) -> None:
        super().check(request, variant)
        text = self.prompt_for(request)
        if marked_word(text) is None and (count_triggers(text) or not request.class_word):
            raise RequestError(
                f"{self.name} needs to know the identity's word in {text!r}.",
                f'Write the trigger after it ("a young woman {TRIGGER} smiles"), or fill `class_word`.',
            )

    def check_shape(self, size: Size, frames: int, variant: str) -> None:
        native = self.native(variant)
        if frames % 4 != 1 or frames > native.frames:
            raise RequestError(f"{self.name} makes 4k+1 frames up to {native.frames}, not {frames}.", "Use fewer.")
        super().check_shape(size, native.frames, variant)

    def recognisers(self, variant: str) -> tuple[str, ...]:
        """ArcFace for the full size; the nano model has a recogniser of its own."""
        return self.conditioned_on if variant == "5b" else ()

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        from mmbench.face.packs import BUFFALO_L

        if self.pick_variant(variant) != "5b":
            return ()
        return registered(BASE_REPO, PHOTOMAKER_REPO, names=BUFFALO_L.names)

    def require(self, weights_dir: Path, variant: str) -> None:
        if variant == "5b":
            self.adapter_file(weights_dir)
        super().require(weights_dir, variant)

    def weights_in_use(self, weights_dir: Path, variant: str) -> list[dict[str, str]]:
        if variant in self.tiny_variants:
            return []
        if variant == "nano-trained":
            folder = nano_folder(weights_dir)
            files = sorted(folder.rglob("*.safetensors"))
            names = [file.relative_to(folder).as_posix() for file in files]
            pairs = zip(names, files, strict=True)
            return [{"name": f"nano/{name}", "revision": "", "sha256": sha256_file(file)} for name, file in pairs]
        adapter = self.adapter_file(weights_dir)
        own = {"name": f"{adapter.name} (identity adapter of your own)", "revision": "", "sha256": sha256_file(adapter)}
        return [*super().weights_in_use(weights_dir, variant), own]

    def adapter_file(self, weights_dir: Path) -> Path:
        """The trained identity adapter. Raises MissingWeights when there is none."""
        adapter = self.adapter or weights_dir / ADAPTER
        if not adapter.is_file():
            raise MissingWeights(
                f"There is no identity adapter at {adapter}; the paper's authors published no weights.",
                "Put one that you trained there, or use `--variant nano` to try the code out with random weights.",
            )
        return adapter

    def read(self, variant: str, weights_dir: Path) -> None:
        if variant in self.tiny_variants:
            from mmbench.model.small.nano import build_pipeline

            self.pipe = build_pipeline(cast("Literal['nano', 'smoke']", variant))
            self.pipe.to(self.device, self.dtype)
        elif variant == "nano-trained":
            from mmbench.model.small.trained import open_trained

            self.pipe = open_trained(nano_folder(weights_dir))
            self.pipe.to(self.device)
        else:
            self.pipe = self.open_full(weights_dir)
            self.pipe.vae.enable_tiling()
            self.pipe.vae.enable_slicing()
        self.pipe.set_progress_bar_config(disable=True)
        self.placement = place(self.pipe, self.device, 32 * 1024**3)

    def open_full(self, weights_dir: Path) -> Any:
        """The full-size pipeline with the user's adapter. Raises MissingWeights when there is none."""
        from mmbench.face.packs import BUFFALO_L, open_analyser
        from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

        adapter = self.adapter_file(weights_dir)
        files = self.weights("5b")
        base = repo_folder(weights_dir, BASE_REPO, files)
        photomaker = require_file(repo_folder(weights_dir, PHOTOMAKER_REPO, files) / "photomaker-v2.bin")
        assert self.dtype is not None
        pipe = MagicMirrorPipeline.from_base(base, adapter=adapter, photomaker=photomaker, torch_dtype=self.dtype)
        pipe.face_analyser = open_analyser(BUFFALO_L, weights_dir, beside_torch(self.device))
        return pipe

    def sample(self, plan: Plan) -> Sampled:
        chosen = plan.options
        assert isinstance(chosen, MagicMirrorOptions)
        has_trigger = count_triggers(plan.prompt) > 0
        enlarged = ENLARGED if self.variant == "nano-trained" else 1
        result = self.pipe(
            prompt=plan.prompt,
            negative_prompt=plan.negative,
            height=plan.size[0] // enlarged,
            width=plan.size[1] // enlarged,
            num_frames=plan.frames,
            num_inference_steps=plan.steps,
            guidance_scale=plan.guidance,
            generator=seeded(plan.seed),
            id_image=list(plan.references),
            identity_scale=chosen.identity_scale,
            identity_guidance=chosen.identity_guidance,
            identity_guidance_scale=chosen.identity_guidance_scale,
            identity_start_step=chosen.identity_start_step,
            use_dynamic_cfg=None if chosen.dynamic_guidance == "auto" else chosen.dynamic_guidance,
            identity_word=None if has_trigger else plan.class_word or None,
            output_type="np",
        )
        info = result.info
        return Sampled(
            frames=enlarge(to_uint8(np.asarray(result.frames[0])), plan.size),
            truncated=is_cut(self.pipe.tokenizer, plan.prompt, self.pipe.transformer.config.max_text_seq_length),
            settings={
                "scheduler": info.scheduler,
                "dynamic_guidance": str(info.dynamic_guidance),
                "identity_guidance": None if info.identity_guidance is None else str(info.identity_guidance),
                "identity_scale": info.identity_scale,
                "identity_words": ", ".join(info.identity_words),
                "references_used": len(plan.references),
                "weights_note": info.weights_note,
            },
        )

    def networks(self) -> Mapping[str, torch.nn.Module]:
        if self.pipe is None:
            return {}
        return {name: getattr(self.pipe, name) for name in self.paper_parts}

    def close(self) -> None:
        self.pipe = self.variant = None


def nano_folder(weights_dir: Path) -> Path:
    """The user's own trained nano model where there is one, else the bundled one."""
    own = weights_dir / OWN_NANO
    return own if own.is_dir() else TRAINED_NANO
