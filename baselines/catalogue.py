"""What can generate: one row of facts a model, without loading anything."""

from __future__ import annotations

from dataclasses import dataclass

from mmbench.baselines.contract import Kind, Native, PromptKind
from mmbench.baselines.options import OptionFact, describe
from mmbench.baselines.registry import FIRST_FRAMES, create, create_first_frame, installed


@dataclass(frozen=True)
class ModelFacts:
    """A model as listed: its variants, the published one's values, bytes of its registered weight files, licence.

    `kind` is "first frame" for a first-frame maker, whose `native` and `prompt_kind` are None and "long".
    """

    name: str
    kind: Kind | str
    prompt_kind: PromptKind
    variants: tuple[str, ...]
    tiny_variants: tuple[str, ...]
    native: Native | None
    weight_bytes: int
    licence: str
    options: tuple[OptionFact, ...] = ()


def catalogue() -> tuple[ModelFacts, ...]:
    """Every model of the registry, plug-ins included, then the first-frame makers."""
    rows = []
    for name in installed():
        model = create(name)
        rows.append(
            ModelFacts(
                name=name,
                kind=model.kind,
                prompt_kind=model.prompt_kind,
                variants=model.variants,
                tiny_variants=model.tiny_variants,
                native=model.native(),
                weight_bytes=sum(entry.size or entry.about or 0 for entry in model.weights()),
                licence=model.licence,
                options=describe(model.options_type),
            )
        )
    for name in FIRST_FRAMES:
        maker = create_first_frame(name)
        size = sum(entry.size or entry.about or 0 for entry in maker.weights())
        rows.append(
            ModelFacts(
                name,
                "first frame",
                "long",
                maker.variants,
                maker.tiny_variants,
                None,
                size,
                maker.licence,
                describe(maker.options_type),
            )
        )
    return tuple(rows)
