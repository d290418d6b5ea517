"""ConsisID (Yuan et al. 2024): CogVideoX-5B-I2V with face branches, run by diffusers' own pipeline.

Recipe of `BestWishYsh/ConsisID-preview`: 49 frames of 480x720, DPM scheduler, 50 steps, guidance 6 without dynamic
guidance, no negative prompt, one reference. The image input is the aligned face crop on white, stretched to the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmbench.baselines.cogvideox.model import GIB, LICENCE, CogVideoX, CogVideoXOptions
from mmbench.baselines.consisid.faces import FaceReader, StandInReader, open_reader
from mmbench.baselines.contract import Kind, Parameters, PromptKind
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled
from mmbench.errors import WeightsError
from mmbench.weights.folders import repo_folder

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ConsisIDOptions(CogVideoXOptions):
    """CogVideoX's, with the value its authors publish."""

    dynamic_guidance: bool = option(False, "guidance follows diffusers' wave over the steps")


class ConsisID(CogVideoX):
    """Identity model of the paper's second version; takes one reference, the first."""

    name: ClassVar[str] = "consisid"
    conditioned_on: ClassVar[tuple[str, ...]] = ("consisid-glintr100",)
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = ("preview",)
    licence: ClassVar[str] = f"{LICENCE}; antelopev2 face networks: non-commercial research only"
    repo: ClassVar[str] = "BestWishYsh/ConsisID-preview"
    # The paper's 11.1 B counts neither the table of positions nor the face towers.
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "text_encoder", "vae")
    options_type: ClassVar[type[Options]] = ConsisIDOptions
    tiling: ClassVar[bool] = False
    learned_positions: ClassVar[bool] = True
    resident_bytes: ClassVar[int] = 44 * GIB

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.reader: FaceReader | None = None

    def read(self, variant: str, weights_dir: Path) -> None:
        super().read(variant, weights_dir)
        config = self.pipe.transformer.config
        if config.is_kps or not config.is_train_face:
            raise WeightsError(
                f"{weights_dir}: this ConsisID transformer has no face branch, or draws key points.",
                "Use BestWishYsh/ConsisID-preview.",
            )
        if variant in self.tiny_variants:
            self.reader = StandInReader(config.LFE_id_dim, config.LFE_vit_dim, config.LFE_num_scale)
        else:
            assert self.dtype is not None  # chosen before anything is read
            folder = repo_folder(weights_dir, self.repo, self.weights(variant))
            self.reader = open_reader(folder / "face_encoder", weights_dir, self.device, self.dtype)

    def pipeline_class(self) -> Any:
        from diffusers import ConsisIDPipeline

        return ConsisIDPipeline

    def inputs(self, plan: Plan) -> dict[str, Any]:
        assert self.reader is not None
        features = self.reader.read(plan.references[0])
        place = {"device": self.pipe._execution_device, "dtype": self.dtype}
        return {
            "image": features.picture,
            "id_cond": features.identity.to(**place),
            "id_vit_hidden": [layer.to(**place) for layer in features.layers],
        }

    def sample(self, plan: Plan) -> Sampled:
        sampled = super().sample(plan)
        return replace(sampled, settings={**sampled.settings, "references_used": 1})

    def networks(self) -> Mapping[str, torch.nn.Module]:
        faces = {} if self.reader is None else self.reader.networks()
        return {**super().networks(), **faces}

    def parameters(self) -> Parameters:
        counts = super().parameters()
        return Parameters(counts.parts, tuple(name for name in self.paper_parts if name in counts.parts))

    def close(self) -> None:
        super().close()
        self.reader = None
