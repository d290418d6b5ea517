"""Which parameters Magic Mirror trains, by variant, and in which types training holds them."""

from __future__ import annotations

import re

import torch
from torch import nn

from mmbench.errors import RequestError
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel

NORM_ONLY = r"transformer_blocks\.\d+\.norm[12]\.linear\."
"""The base's adaptive norms: what the fine-tuning of the paper's Fig. 14 trains instead of an adapter."""


def trained_parameters(
    transformer: MagicMirrorTransformer3DModel, face_encoder: MagicMirrorFaceEncoder
) -> dict[str, nn.Parameter]:
    """The parameters of the model's variant, by names that start with `transformer.` or `face_encoder.`.

    The variant is in the transformer's config; parts of the face encoder that it does not use are left out, so
    that every parameter here gets a gradient in every step.
    """
    fused = transformer.config.identity_fusion
    used = {"fusion.": fused, "tau_id.": fused, "tau_face.": transformer.face_proj is not None}
    named = {f"transformer.{name}": transformer.get_parameter(name) for name in transformer.identity_parameter_names()}
    for name in face_encoder.trained_parameter_names():
        if any(on and name.startswith(part) for part, on in used.items()):
            named[f"face_encoder.{name}"] = face_encoder.get_parameter(name)
    return named


def matching_parameters(transformer: nn.Module, pattern: str = NORM_ONLY) -> dict[str, nn.Parameter]:
    """The transformer's parameters whose names match; RequestError where none does."""
    found = {f"transformer.{name}": p for name, p in transformer.named_parameters() if re.match(pattern, name)}
    if not found:
        raise RequestError(f"No parameter of the transformer matches {pattern!r}.", "Look at its named_parameters().")
    return found


def train_only(models: tuple[nn.Module, ...], trained: dict[str, nn.Parameter]) -> None:
    """Freeze all parameters of the models but the trained ones, and hold these in float32.

    The others keep their type (bfloat16 at full size): a step of 1e-5 is lost in a bfloat16 weight, and the
    models cast where one type meets the other.
    """
    for model in models:
        model.requires_grad_(False)
    for parameter in trained.values():
        parameter.data = parameter.data.to(torch.float32)
        parameter.requires_grad_(True)
