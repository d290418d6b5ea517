"""Classifier-free guidance with an identity: which calls a mode makes, and the weight's course over the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from mmbench.errors import RequestError

GuidanceMode = Literal["shared", "null", "base", "split"]
"""What the unconditional half of guidance sees of the identity.

shared: the same face rows, CAN and decoupled attention in both halves; fused text in the positive half only.
null: learned null rows and no CAN or decoupled attention in the unconditional half.
base: the unconditional half is the untouched base model (two calls).
split: base; base with the prompt; everything: text and identity have a weight each (three calls).
"""

DynamicGuidance = Literal["off", "cogvideox", "cosine"]
"""off: constant. cogvideox: diffusers' `use_dynamic_cfg`, a wave over the steps (README). cosine: a steady
rise."""


@dataclass(frozen=True)
class Call:
    """One call of the transformer: which texts are stacked in its batch, and who of them has the identity."""

    texts: tuple[Literal["negative", "plain", "fused"], ...]
    identity: tuple[bool, ...] | None

    @property
    def drops(self) -> bool:
        """Whether only a part of the batch has the identity."""
        return self.identity is not None and not all(self.identity)


def calls_of(mode: GuidanceMode, guided: bool, identity: bool) -> tuple[Call, ...]:
    """The calls of one step. Without identity: the base's one call; without guidance: the positive half
    only."""
    if mode not in get_args(GuidanceMode):
        raise RequestError(
            f"identity_guidance={mode!r} is not a guidance mode.", f"Use one of {get_args(GuidanceMode)}."
        )
    if not identity:
        return (Call(("negative", "plain") if guided else ("plain",), None),)
    if not guided:
        return (Call(("fused",), (True,)),)
    if mode == "shared":
        return (Call(("negative", "fused"), (True, True)),)
    if mode == "null":
        return (Call(("negative", "fused"), (False, True)),)
    if mode == "base":
        return (Call(("negative",), None), Call(("fused",), (True,)))
    return (Call(("negative",), None), Call(("plain",), None), Call(("fused",), (True,)))


def combine(predictions: list[Tensor], scale: float, identity_scale: float) -> Tensor:
    """Weigh the predictions of all calls' batches, in the calls' order.

    One: itself. Two (negative, positive): n + scale (p - n). Three (base, base with prompt, everything):
    b + scale (t - b) + identity_scale (e - t).
    """
    if len(predictions) == 1:
        return predictions[0]
    negative, positive = predictions[:2]
    guided = negative + scale * (positive - negative)
    if len(predictions) == 3:
        guided = guided + identity_scale * (predictions[2] - positive)
    return guided


def guidance_at(kind: DynamicGuidance, scale: float, step: int, num_steps: int, timestep: float) -> float:
    """The guidance weight at a step; "cogvideox" is bit-compatible with diffusers and reads the timestep."""
    if kind == "off":
        return scale
    if kind == "cogvideox":
        progress = (num_steps - timestep) / num_steps
    elif kind == "cosine":
        progress = (step + 1) / num_steps
    else:
        raise RequestError(
            f"use_dynamic_cfg={kind!r} is unknown.", "Use True or 'cogvideox', 'cosine', or False or 'off'."
        )
    return 1 + scale * ((1 - math.cos(math.pi * progress**5.0)) / 2)
