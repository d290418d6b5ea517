"""The trained nano model as one diffusers folder: put together from what training left, and opened again."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from mmbench.errors import MissingWeights, require_extra
from mmbench.face.nano.recogniser import NanoFaces
from mmbench.files import read_json, sha256_file, whole, write_json
from mmbench.model.network.configs import size_named
from mmbench.model.network.map_tower import load_tower
from mmbench.model.small.nano import offline_tokenizer, tiny_text_encoder

if TYPE_CHECKING:
    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

TOWER: Final = "tower.safetensors"
ADAPTER: Final = "adapter"
TEXT_SEED = 0
"""Seed of the nano world's text encoder, which nobody trains."""


def nano_text_encoder() -> Any:
    """The frozen random text encoder of the nano world, always the same on one version of torch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TEXT_SEED)
        return tiny_text_encoder(size_named("nano")).eval().requires_grad_(False)


def assemble(base: Path, tower: Path, adapter: Path | None) -> MagicMirrorPipeline:
    """The pipeline of a base folder (transformer, scheduler, vae), a vision tower's file and an adapter's.

    Without an adapter the identity changes nothing: the base alone. Raises MissingWeights, WeightsError.
    """
    require_extra("generate")
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
    from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler

    from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
    from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
    from mmbench.model.pipeline.adapter_file import apply_adapter, read_adapter
    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline
    from mmbench.model.small.codec import PatchPCACodec

    size = size_named("nano")
    stock = CogVideoXTransformer3DModel.from_pretrained(str(base), subfolder="transformer")
    held = None if adapter is None else read_adapter(str(adapter))
    widths = {name: size.transformer[name] for name in ("face_dim", "num_face_tokens", "id_proj_dim", "can_hidden_dim")}
    fields = widths if held is None else held.config
    transformer = MagicMirrorTransformer3DModel.from_transformer(stock, **fields)
    encoder_config = held.encoder_config if held is not None else size.face_encoder
    face_encoder = MagicMirrorFaceEncoder(**encoder_config)
    face_encoder.vision.load_state_dict(load_tower(tower).state_dict())
    if held is not None:
        apply_adapter(transformer, held.transformer, transformer.identity_parameter_names(), str(adapter))
        apply_adapter(face_encoder, held.face_encoder, face_encoder.trained_parameter_names(), str(adapter))
    pipeline = MagicMirrorPipeline(
        tokenizer=offline_tokenizer(size),
        text_encoder=nano_text_encoder(),
        vae=PatchPCACodec.from_pretrained(str(base), subfolder="vae").eval(),
        transformer=transformer.eval(),
        scheduler=CogVideoXDPMScheduler.from_pretrained(str(base), subfolder="scheduler"),
        face_encoder=face_encoder.eval(),
    )
    return _ready(pipeline)


def unpack(folder: Path, out: Path) -> Path:
    """Write what an adapter is trained on, taken out of a pipeline's folder: a base folder and `tower.safetensors`.

    The base is CogVideoX's own transformer in float32, with scheduler and codec. In `adapter` lies the pipeline's own
    adapter, for a training that goes on from it (`model.adapter`). What was taken out of the same files before is kept.
    Returns `out`. Raises MissingWeights.
    """
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel

    from mmbench.model.pipeline.adapter_file import WEIGHT_NAME, write_adapter

    source = {path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.rglob("*.safetensors"))}
    note = out / "source.json"
    kept = note.is_file() and (out / ADAPTER / WEIGHT_NAME).is_file()  # earlier versions left no adapter
    if kept and read_json(note, f"Delete {out}.") == source:
        return out
    pipeline = open_trained(folder)
    known = inspect.signature(CogVideoXTransformer3DModel.__init__).parameters
    config = {name: value for name, value in pipeline.transformer.config.items() if name in known}
    stock = CogVideoXTransformer3DModel(**config)
    held = pipeline.transformer.state_dict()
    stock.load_state_dict({name: held[name] for name in stock.state_dict()})
    parts = {name: getattr(pipeline, name) for name in ("scheduler", "vae", "tokenizer", "text_encoder")}
    for name, part in {"transformer": stock, **parts}.items():
        part.save_pretrained(str(out / name))
    encoder = pipeline.face_encoder
    assert encoder is not None
    with whole(out / TOWER) as file:
        encoder.vision.save(file)
    write_adapter(out / ADAPTER, pipeline.transformer, encoder)
    write_json(note, source)
    return out


def open_trained(folder: Path) -> MagicMirrorPipeline:
    """The pipeline saved in `folder`, in float32, with its own face analyser. Raises MissingWeights."""
    require_extra("generate")
    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

    if not (folder / "model_index.json").is_file():
        raise MissingWeights(
            f"There is no trained nano model in {folder}.",
            "Train one: mmbench nano world, mmbench nano eyes, mmbench train nano-base, nano-image, nano-video.",
        )
    return _ready(MagicMirrorPipeline.from_pretrained(str(folder), dtype=torch.float32))


def _ready(pipeline: MagicMirrorPipeline) -> MagicMirrorPipeline:
    pipeline.face_analyser = NanoFaces(pipeline.face_encoder.vision.recogniser)  # type: ignore[union-attr]
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
