"""Complete small weights folders with random numbers, in the published layout and key names of each model.

The loaders, converters, merges and samplers that run on the real files run on these, on a CPU, in every test.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from mmbench.errors import RequestError

MAKERS: Final[dict[str, str]] = {
    "bernini_r": "mmbench.baselines.bernini_r.tiny:make_bernini_r",
    "cogvideox": "mmbench.baselines.cogvideox.tiny:make_cogvideox",
    "cogvideox_i2v": "mmbench.baselines.cogvideox.tiny:make_cogvideox_i2v",
    "consisid": "mmbench.baselines.consisid.tiny:make_consisid",
    "dynamicrafter": "mmbench.baselines.dynamicrafter.tiny:make_dynamicrafter",
    "easyanimate": "mmbench.baselines.easyanimate.tiny:make_easyanimate",
    "id_animator": "mmbench.baselines.id_animator.tiny:make_id_animator",
    "lynx": "mmbench.baselines.lynx.tiny:make_lynx",
    "minimax_h3": "mmbench.baselines.minimax_h3.tiny:make_minimax_h3",
    "phantom": "mmbench.baselines.phantom.tiny:make_phantom",
    "photomaker_v2": "mmbench.baselines.photomaker_v2.tiny:make_photomaker",
    "skyreels_v3": "mmbench.baselines.skyreels_v3.tiny:make_skyreels_v3",
    "stand_in": "mmbench.baselines.stand_in.tiny:make_stand_in",
    "vace": "mmbench.baselines.vace.tiny:make_vace",
}

SEED: Final = 20250107
"""Seed of all tiny weights, so that two folders hold equal numbers."""


def make_tiny(folder: Path, name: str) -> Path:
    """Write the weights folder of model `name` below `folder`; return `folder`, to be given as `weights_dir`.

    Load it with `variant="tiny"`. The frames are noise: this is for tests and for trying a run out. Raises
    RequestError for a model without tiny weights.
    """
    if name not in MAKERS:
        raise RequestError(f"There are no tiny weights for {name!r}.", f"Choose one of {', '.join(MAKERS)}.")
    import torch

    from mmbench.baselines.loading.diffusers_folder import quiet_libraries

    module, _, function = MAKERS[name].partition(":")
    maker = cast("Callable[[Path], None]", getattr(import_module(module), function))
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]), quiet_libraries():
        torch.manual_seed(SEED)
        maker(folder)
    return folder


def hub_folder(root: Path, repo: str) -> Path:
    """Folder of a hub repository below `root`, made."""
    folder = root / repo.replace("/", "--")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
