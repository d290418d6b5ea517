"""Building the pipeline on a base model, and loading, saving and removing its identity adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler

from mmbench.errors import MissingWeights, RequestError, WeightsError
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.transformer import ADAPTER_PREFIXES, MagicMirrorTransformer3DModel
from mmbench.model.network.variants import VARIANTS, Variant
from mmbench.model.pipeline.adapter_file import apply_adapter, identity_config, read_adapter, write_adapter
from mmbench.model.pipeline.denoise import TableCache


class IdentityAdapterMixin:
    """Identity adapters in the manner of diffusers' IP-Adapter loaders; for `MagicMirrorPipeline`."""

    transformer: Any
    face_encoder: MagicMirrorFaceEncoder | None
    tables: TableCache

    @classmethod
    def from_base(
        cls,
        base: str | Path | CogVideoXPipeline,
        adapter: str | Path | None = None,
        photomaker: str | Path | None = None,
        face_encoder: MagicMirrorFaceEncoder | None = None,
        variant: Variant = VARIANTS["Full"],
        torch_dtype: torch.dtype = torch.bfloat16,
    ) -> Any:
        """A Magic Mirror pipeline on a CogVideoX pipeline (taken over, not copied) or on its hub name or
        folder.

        adapter: file, folder or repository of an identity adapter; None starts an untrained one of
        `variant`. photomaker: `photomaker-v2.bin`, the frozen CLIP and tau_id; or `face_encoder`, a
        complete one. The scheduler becomes DPM with trailing timesteps on rotary bases (CogVideoX-5B).
        Raises MissingWeights.
        """
        if adapter is not None and photomaker is None and face_encoder is None:
            raise MissingWeights(
                "An adapter holds only what Magic Mirror trains; CLIP and tau_id are missing.",
                "Pass photomaker='photomaker-v2.bin' (hub: TencentARC/PhotoMaker-V2) or a face_encoder.",
            )
        held = None if adapter is None else read_adapter(adapter)
        pipeline = base if isinstance(base, CogVideoXPipeline) else _load_base(str(base), torch_dtype)
        notes = []
        if face_encoder is None:
            face_encoder = _new_face_encoder(pipeline, held.config if held else {})
            if photomaker is None:
                notes.append("face encoder random")
            else:
                face_encoder.load_photomaker(photomaker)
            face_encoder = face_encoder.to(pipeline.transformer.dtype)
        if adapter is None:
            notes.append("identity adapter untrained")
        config = held.config if held else variant.transformer_config() | _encoder_widths(face_encoder)
        scheduler = pipeline.scheduler
        if pipeline.transformer.config.use_rotary_positional_embeddings:
            scheduler = CogVideoXDPMScheduler.from_config(scheduler.config, timestep_spacing="trailing")
        made = cls(  # type: ignore[call-arg]  # the pipeline's constructor
            tokenizer=pipeline.tokenizer,
            text_encoder=pipeline.text_encoder,
            vae=pipeline.vae,
            transformer=MagicMirrorTransformer3DModel.from_transformer(pipeline.transformer, **config),
            scheduler=scheduler,
            face_encoder=face_encoder,
            weights_note=", ".join(notes) or None,
        )
        if adapter is not None:
            made.load_identity_adapter(adapter)
        return made

    def save_identity_adapter(self, folder: str | Path) -> Path:
        """Write the trained parameters (3.5 GB in bf16 at full size) to `folder/magic_mirror.safetensors`."""
        if not isinstance(self.transformer, MagicMirrorTransformer3DModel) or self.face_encoder is None:
            raise RequestError("There is no identity adapter to save.", "Load or train one first.")
        return write_adapter(folder, self.transformer, self.face_encoder)

    def load_identity_adapter(self, source: str | Path, weight_name: str | None = None) -> None:
        """Load an adapter from a file, a folder or a hub repository; the base weights stay as they are.

        Raises MissingWeights where there is none, WeightsError where it does not fit.
        """
        held = read_adapter(source, weight_name)
        if self.face_encoder is None:
            raise MissingWeights(
                "This pipeline has no face encoder.", "Build it with from_base(photomaker='photomaker-v2.bin')."
            )
        if not isinstance(self.transformer, MagicMirrorTransformer3DModel):
            made = MagicMirrorTransformer3DModel.from_transformer(self.transformer, **held.config)
            self.register_modules(transformer=made)  # type: ignore[attr-defined]
        mine = identity_config(self.transformer)
        wrong = {k: (held.config.get(k), v) for k, v in mine.items() if held.config.get(k) != v}
        if wrong:
            name, (got, want) = next(iter(wrong.items()))
            raise WeightsError(
                f"{source}: the adapter has {name}={got}, this model {want}.", "Build the model of that variant."
            )
        apply_adapter(self.transformer, held.transformer, self.transformer.identity_parameter_names(), str(source))
        apply_adapter(self.face_encoder, held.face_encoder, self.face_encoder.trained_parameter_names(), str(source))
        self.tables.clear()
        note = self.config.weights_note  # type: ignore[attr-defined]
        if note is not None:
            kept = [part for part in note.split(", ") if part != "identity adapter untrained"]
            self.register_to_config(weights_note=", ".join(kept) or None)  # type: ignore[attr-defined]

    def unload_identity_adapter(self) -> None:
        """Back to the base transformer: adapter memory is freed, and the pipeline is CogVideoX's own."""
        if isinstance(self.transformer, MagicMirrorTransformer3DModel):
            self.register_modules(transformer=to_base(self.transformer))  # type: ignore[attr-defined]
        self.tables.clear()


def to_base(model: MagicMirrorTransformer3DModel) -> CogVideoXTransformer3DModel:
    """The stock transformer on the base weights of `model` (not copied)."""
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(ADAPTER_PREFIXES)}
    own = identity_config(model)
    fields = {k: v for k, v in model.config.items() if k not in own and not k.startswith("_")}
    with torch.device("meta"):
        base = CogVideoXTransformer3DModel.from_config(fields)
    base.load_state_dict(state, assign=True)
    if hasattr(model.patch_embed, "pos_embedding"):
        base.patch_embed.pos_embedding = model.patch_embed.pos_embedding
    return base.train(model.training)


def _load_base(base: str, torch_dtype: torch.dtype) -> CogVideoXPipeline:
    path = Path(base)
    if (path.is_absolute() or base.startswith(".")) and not path.is_dir():
        raise MissingWeights(f"{base}: there is no such folder.", "Give a CogVideoX pipeline folder or hub name.")
    try:
        return CogVideoXPipeline.from_pretrained(base, torch_dtype=torch_dtype)
    except OSError as error:
        raise MissingWeights(
            f"{base}: the base model could not be loaded ({error}).",
            "Fetch it first (hub: THUDM/CogVideoX-5b, 21 GB, CogVideoX licence), or give its folder.",
        ) from error


def _new_face_encoder(pipeline: CogVideoXPipeline, config: dict[str, Any]) -> MagicMirrorFaceEncoder:
    widths = {k: config[k] for k in ("face_dim", "num_id_tokens", "num_face_tokens") if k in config}
    made: MagicMirrorFaceEncoder = MagicMirrorFaceEncoder(text_dim=pipeline.transformer.config.text_embed_dim, **widths)
    made.eval()
    return made


def _encoder_widths(face_encoder: MagicMirrorFaceEncoder) -> dict[str, int]:
    return {k: face_encoder.config[k] for k in ("face_dim", "num_id_tokens", "num_face_tokens")}
