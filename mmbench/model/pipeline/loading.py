"""Building the pipeline on a base model, and loading, saving and removing its identity adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.hooks.group_offloading import _is_group_offload_enabled
from diffusers.loaders.lora_base import _func_optionally_disable_offloading
from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from diffusers.utils.torch_utils import unwrap_module

from mmbench.errors import MissingWeights, RequestError, WeightsError
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.takeover import to_base
from mmbench.model.network.trained import trained_parameters
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.network.variants import VARIANTS, Variant
from mmbench.model.pipeline.adapter_file import (
    AdapterFile,
    TrainingFacts,
    apply_adapter,
    check_fits,
    read_adapter,
    write_adapter,
)
from mmbench.model.pipeline.denoise import TableCache

_HUB = ("revision", "token", "cache_dir", "subfolder", "local_files_only")
_UNTRAINED = "identity adapter untrained"


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
        ablation: Variant = VARIANTS["Full"],
        **loading: Any,
    ) -> Any:
        """A Magic Mirror pipeline on a CogVideoX pipeline (taken over, not copied) or on its hub name or folder.

        adapter: file, folder or repository of an identity adapter, which also says how its face encoder is built;
        None starts an untrained one of `ablation`. photomaker: `photomaker-v2.bin`, the frozen CLIP and tau_id; or
        `face_encoder`, a complete one. loading: arguments of `CogVideoXPipeline.from_pretrained` (dtype, revision,
        token, cache_dir, local_files_only, quantization_config, variant, ...); the type is bfloat16 if none is given.
        The scheduler becomes DPM with trailing timesteps on rotary bases (CogVideoX-5B). Raises MissingWeights,
        WeightsError, RequestError.
        """
        if adapter is not None and photomaker is None and face_encoder is None:
            raise MissingWeights(
                "An adapter holds only what Magic Mirror trains; CLIP and tau_id are missing.",
                "Pass photomaker='photomaker-v2.bin' (hub: TencentARC/PhotoMaker-V2) or a face_encoder.",
            )
        if loading and isinstance(base, CogVideoXPipeline):
            raise RequestError(
                f"{', '.join(loading)} cannot be set: the base is loaded already.", "Give them where it is loaded."
            )
        held = None if adapter is None else read_adapter(adapter)
        pipeline = base if isinstance(base, CogVideoXPipeline) else _load_base(str(base), loading)
        transformer = unwrap_module(pipeline.transformer)
        notes = []
        if face_encoder is None:
            face_encoder = _new_face_encoder(transformer.config.text_embed_dim, held, ablation)
            if photomaker is None:
                notes.append("face encoder random")
            else:
                face_encoder.load_photomaker(photomaker)
            face_encoder = face_encoder.to(transformer.dtype)
        if adapter is None:
            notes.append(_UNTRAINED)
        config = held.config if held else ablation.transformer_config() | _encoder_widths(face_encoder)
        scheduler = pipeline.scheduler
        if transformer.config.use_rotary_positional_embeddings:
            scheduler = CogVideoXDPMScheduler.from_config(scheduler.config, timestep_spacing="trailing")
        made = cls(  # type: ignore[call-arg]  # the pipeline's constructor
            tokenizer=pipeline.tokenizer,
            text_encoder=pipeline.text_encoder,
            vae=pipeline.vae,
            transformer=MagicMirrorTransformer3DModel.from_transformer(transformer, **config),
            scheduler=scheduler,
            face_encoder=face_encoder,
            weights_note=", ".join(notes) or None,
        )
        if held is not None:
            made._apply(held, str(adapter))
        return made

    def save_identity_adapter(
        self,
        folder: str | Path,
        training: TrainingFacts | None = None,
        dtype: torch.dtype | None = None,
        push_to_hub: str | None = None,
        token: str | None = None,
    ) -> Path:
        """Write the trained parameters (3.5 GB in bf16 at full size) to `folder/magic_mirror.safetensors`.

        training: what is known of their training. dtype: as in `write_adapter`. push_to_hub: a repository that the
        file is uploaded to as well.
        """
        transformer = unwrap_module(self.transformer)
        if not isinstance(transformer, MagicMirrorTransformer3DModel) or self.face_encoder is None:
            raise RequestError("There is no identity adapter to save.", "Load or train one first.")
        path = write_adapter(folder, transformer, self.face_encoder, training, dtype)
        if push_to_hub is not None:
            from huggingface_hub import create_repo, upload_file

            create_repo(push_to_hub, token=token, exist_ok=True)
            upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id=push_to_hub, token=token)
        return path

    def load_identity_adapter(self, source: str | Path, weight_name: str | None = None, **hub: Any) -> None:
        """Load an adapter from a file, a folder or a hub repository; the base weights stay as they are.

        hub: revision, token, cache_dir, subfolder, local_files_only. Offloading stays on where it is on. Raises
        MissingWeights where there is none, WeightsError where it does not fit.
        """
        if unknown := sorted(set(hub) - set(_HUB)):
            raise RequestError(f"load_identity_adapter does not know {unknown[0]!r}.", f"Use {', '.join(_HUB)}.")
        held = read_adapter(source, weight_name, **hub)
        if self.face_encoder is None:
            raise MissingWeights(
                "This pipeline has no face encoder.", "Build it with from_base(photomaker='photomaker-v2.bin')."
            )
        with self._without_offloading():
            transformer = unwrap_module(self.transformer)
            if not isinstance(transformer, MagicMirrorTransformer3DModel):
                made = MagicMirrorTransformer3DModel.from_transformer(transformer, **held.config)
                check_fits(held, made, self.face_encoder, str(source))
                self.register_modules(transformer=made)  # type: ignore[attr-defined]
            self._apply(held, str(source))

    def _apply(self, held: AdapterFile, source: str) -> None:
        """Check that the adapter fits, and copy its numbers."""
        transformer, encoder = unwrap_module(self.transformer), self.face_encoder
        if encoder is None:
            raise MissingWeights("This pipeline has no face encoder.", "Build it with from_base(photomaker=...).")
        check_fits(held, transformer, encoder, source)
        names = [name.partition(".") for name in trained_parameters(transformer, encoder)]
        for part, module, tensors in (
            ("transformer", transformer, held.transformer),
            ("face_encoder", encoder, held.face_encoder),
        ):
            wanted = [rest for prefix, _, rest in names if prefix == part]
            if not held.encoder_config and part == "face_encoder":
                # format 1 also held parts that the variant does not use
                tensors = {k: v for k, v in tensors.items() if k in wanted or k not in dict(module.named_parameters())}
            apply_adapter(module, tensors, wanted, source)
        self.tables.clear()
        note = self.config.weights_note  # type: ignore[attr-defined]
        if note is not None:
            kept = [part for part in note.split(", ") if part != _UNTRAINED]
            self.register_to_config(weights_note=", ".join(kept) or None)  # type: ignore[attr-defined]

    def unload_identity_adapter(self) -> None:
        """Back to the base transformer: adapter memory is freed, and the pipeline is CogVideoX's own."""
        transformer = unwrap_module(self.transformer)
        if isinstance(transformer, MagicMirrorTransformer3DModel):
            with self._without_offloading():
                self.register_modules(transformer=to_base(transformer))  # type: ignore[attr-defined]
        self.tables.clear()

    @contextmanager
    def _without_offloading(self) -> Iterator[None]:
        """Take offload hooks away while the transformer changes, and put them on the new one as they were."""
        pipe: Any = self
        device = getattr(pipe, "_offload_device", None)
        if _is_group_offload_enabled(unwrap_module(self.transformer)):
            raise RequestError(
                "Group offloading is on, and its hooks belong to the transformer's present layers.",
                "Load or unload the adapter before pipe.enable_group_offload().",
            )
        by_model, by_layer, _ = _func_optionally_disable_offloading(pipe)
        try:
            yield
        finally:
            if by_model:
                pipe.enable_model_cpu_offload(device=device)
            elif by_layer:
                pipe.enable_sequential_cpu_offload(device=device)


def _load_base(base: str, loading: dict[str, Any]) -> CogVideoXPipeline:
    path = Path(base)
    if (path.is_absolute() or base.startswith(".")) and not path.is_dir():
        raise MissingWeights(f"{base}: there is no such folder.", "Give a CogVideoX pipeline folder or hub name.")
    if "torch_dtype" not in loading:
        loading = {"dtype": torch.bfloat16} | loading
    try:
        return CogVideoXPipeline.from_pretrained(base, **loading)
    except OSError as error:
        raise MissingWeights(
            f"{base}: the base model could not be loaded ({error}).",
            "Fetch it first (hub: THUDM/CogVideoX-5b, 21 GB, CogVideoX licence), or give its folder.",
        ) from error


def _new_face_encoder(text_dim: int, held: AdapterFile | None, ablation: Variant) -> MagicMirrorFaceEncoder:
    """As the adapter's file describes it; an old file names its widths alone, and the rest is the default."""
    fields: dict[str, Any] = {"text_dim": text_dim} | ablation.face_encoder_config()
    if held is not None and held.encoder_config:
        fields = dict(held.encoder_config)
    elif held is not None:
        fields = {"text_dim": text_dim, "identity_fusion": held.config["identity_fusion"]}
        fields |= {k: held.config[k] for k in ("face_dim", "num_id_tokens", "num_face_tokens")}
        fields["face_tokens"] = held.config["face_tokens"] or held.config["face_cross_attention"]
    try:
        made: MagicMirrorFaceEncoder = MagicMirrorFaceEncoder(**fields)
    except TypeError as error:
        raise WeightsError(f"The adapter describes an unknown face encoder ({error}).", "Update mmbench.") from error
    made.eval()
    return made


def _encoder_widths(face_encoder: MagicMirrorFaceEncoder) -> dict[str, int]:
    return {k: face_encoder.config[k] for k in ("face_dim", "num_id_tokens", "num_face_tokens")}
