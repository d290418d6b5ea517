"""Names of models to the places their classes live. Listing and importing this loads no model library."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from mmbench.baselines.contract import Baseline, FirstFrame, Model, PromptKind, Setting
from mmbench.baselines.options import read_options
from mmbench.errors import RequestError

ENTRY_POINT_GROUP: Final = "mmbench.models"
"""Installed packages add models by an entry point `name = "module:Class"` in this group."""

BASELINES: Final[dict[str, str]] = {
    "magic_mirror": "mmbench.baselines.magic_mirror.model:MagicMirror",
    "id_animator": "mmbench.baselines.id_animator.model:IDAnimator",
    "dynamicrafter": "mmbench.baselines.dynamicrafter.model:DynamiCrafter",
    "easyanimate": "mmbench.baselines.easyanimate.model:EasyAnimate",
    "cogvideox_i2v": "mmbench.baselines.cogvideox.model:CogVideoXI2V",
    "cogvideox": "mmbench.baselines.cogvideox.model:CogVideoX",
    "consisid": "mmbench.baselines.consisid.model:ConsisID",
    "bernini_r": "mmbench.baselines.bernini_r.model:BerniniR",
    "lynx": "mmbench.baselines.lynx.model:Lynx",
    "minimax_h3": "mmbench.baselines.minimax_h3.model:MiniMaxH3",
    "phantom": "mmbench.baselines.phantom.model:Phantom",
    "skyreels_v3": "mmbench.baselines.skyreels_v3.model:SkyReelsV3",
    "stand_in": "mmbench.baselines.stand_in.model:StandIn",
    "vace": "mmbench.baselines.vace.model:VACE",
}
FIRST_FRAMES: Final[dict[str, str]] = {"photomaker_v2": "mmbench.baselines.photomaker_v2.model:PhotoMakerV2"}


def installed() -> dict[str, str]:
    """Name to `module:Class` of every video model: ours, and those that installed packages add.

    A package cannot take one of our names: results under one name must mean one model.
    """
    added = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    clash = sorted(set(added) & set(BASELINES))
    if clash:
        raise RequestError(
            f"An installed package registers a model under our name {clash[0]!r}.",
            f"Rename the entry point in group {ENTRY_POINT_GROUP}.",
        )
    return {**BASELINES, **added}


def create(name: str, prompt_kind: PromptKind | None = None) -> Baseline:
    """An unloaded video model.

    `name` is a registered name (hyphens count as underscores), `module:Class` of a class of yours that can be
    imported, or `folder:PATH` for a folder of finished videos. `prompt_kind` overrides which prompt the model gets.
    Raises RequestError.
    """
    if name.startswith("folder:"):
        from mmbench.baselines.folder import Folder

        return Folder(name.removeprefix("folder:"), prompt_kind)
    known = installed()
    place = name if ":" in name else known.get(name) or known.get(name.replace("-", "_"))
    if place is None:
        raise RequestError(
            f"There is no model {name!r}.",
            f"Choose one of {', '.join(installed())}; or give module:Class or folder:PATH.",
        )
    found = import_class(place)
    if not issubclass(found, Baseline):
        raise RequestError(
            f"{place} is no subclass of mmbench.baselines.contract.Baseline.", "See baselines/README.md."
        )
    return found(prompt_kind)


def create_first_frame(name: str = "photomaker_v2", options: Mapping[str, Setting] | None = None) -> FirstFrame:
    """An unloaded first-frame maker with its options: a registered name or `module:Class`. Raises RequestError."""
    place = name if ":" in name else FIRST_FRAMES.get(name)
    if place is None:
        raise RequestError(f"There is no first-frame maker {name!r}.", f"Choose one of {', '.join(FIRST_FRAMES)}.")
    found = import_class(place)
    if not issubclass(found, FirstFrame):
        raise RequestError(f"{place} is no subclass of mmbench.baselines.contract.FirstFrame.", "")
    maker = found()
    maker.options = read_options(maker.options_type, options or {}, maker.name)
    return maker


def import_class(place: str) -> type[Model]:
    """The class at `module:Class`. Raises RequestError when either is absent; errors inside the module pass through."""
    module, _, attribute = place.partition(":")
    try:
        found = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as cause:
        if cause.name is None or not f"{module}.".startswith(f"{cause.name}."):  # something that the module imports
            raise
        raise RequestError(
            f"There is no module {cause.name!r} for the model {place!r}.",
            "Run the command in the folder that holds it, or install it.",
        ) from cause
    if not isinstance(found, type) or not issubclass(found, Model):
        raise RequestError(f"{place} names no model class.", "Write module:Class.")
    return found
