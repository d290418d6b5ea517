"""What a stage leaves for use: the adapter alone, or the base's changed weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mmbench.files import whole
from mmbench.model.train.build import Parts
from mmbench.model.train.optimiser import full
from mmbench.model.train.settings import StageSettings, TrainSettings

MASTER = "fp32"
"""Folder of the float32 adapter, within the release's."""
RELEASES = {"adapter": "adapter", "norm-only": "norms", "all": "base"}
"""What a run's release is called, by what it trains."""


def write_release(
    folder: Path, parts: Parts, settings: TrainSettings, stage: StageSettings, steps: int, rank: int = 0
) -> None:
    """Write the trained weights into `folder`; all processes call it together, the first one writes.

    An adapter: `magic_mirror.safetensors` (bf16, for use), and in `fp32/` the same in float32 (to train on). A base:
    a folder that `model.base` takes (transformer, scheduler, codec). Changed norms: `norms.safetensors`, float32.
    """
    tensors = {name: full(parameter) for name, parameter in parts.trained().items()}
    if rank:
        return
    folder.mkdir(parents=True, exist_ok=True)
    note: dict[str, Any] = {
        "variant": settings.model.variant if settings.model.train == "adapter" else "",
        "trained": settings.model.train,
        "base": settings.model.base,
        "stage": stage.name,
        "steps": steps,
        "seed": settings.seed,
        "settings": settings.digest(),
    }
    with whole(folder / "training.json") as part:
        part.write_text(json.dumps(note, indent=1) + "\n")
    if settings.model.train == "all":
        parts.transformer.save_pretrained(folder / "transformer")
        parts.scheduler.save_pretrained(folder / "scheduler")
        if parts.vae.device.type != "meta":
            parts.vae.save_pretrained(folder / "vae")
    elif settings.model.train == "norm-only":
        norms = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        _save(folder / "norms.safetensors", norms, {"training": json.dumps(note)})
    else:
        _write_adapters(folder, parts, tensors, note)


def _save(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, str]) -> None:
    from safetensors.torch import save_file

    with whole(path) as part:
        save_file(tensors, part, header)


def _write_adapters(folder: Path, parts: Parts, tensors: dict[str, torch.Tensor], note: dict[str, Any]) -> None:
    """Both precisions of an adapter, in the format that the pipeline loads."""
    from mmbench.model.pipeline.adapter_file import TrainingFacts, write_adapter

    facts = TrainingFacts(note["variant"], note["stage"], note["steps"], note["base"], details=note)
    models = (parts.transformer, parts.face_encoder)
    write_adapter(folder / MASTER, *models, facts, tensors=tensors)
    write_adapter(folder, *models, facts, tensors={name: tensor.bfloat16() for name, tensor in tensors.items()})
