"""Options of every command that makes videos, each spelt out once: they fill `mmbench.config.GenerateSettings`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

Option = typer.Option
CLASS = r"(?!folder:)[A-Za-z_][\w.]*:[A-Za-z_]\w*"
"""How a class or function of the user's own is written."""

Variant = Annotated[str | None, Option(help="Checkpoint, or `tiny`/`nano`; the published one by default.")]
Options = Annotated[
    list[str] | None,
    Option("--option", help="NAME=VALUE of the model's own; `mmbench generators` lists them. Repeat for several."),
]
Limit = Annotated[int | None, Option(min=1, help="Only so many videos, identities in turn.")]
PromptIds = Annotated[list[str] | None, Option("--prompt-id", help="Only videos of these prompts of the set.")]
Seed = Annotated[int, Option(min=0, help="Base of every video's seed; the seed itself with --prompt.")]
Size = Annotated[str | None, Option(help="HEIGHTxWIDTH instead of the model's own.")]
Frames = Annotated[int | None, Option(min=1, help="Number of frames instead of the model's own.")]
Steps = Annotated[int | None, Option(min=1, help="Sampling steps instead of the published number.")]
Guidance = Annotated[float | None, Option(help="Guidance instead of the published weight.")]
Negative = Annotated[str | None, Option(help="Negative prompt instead of the published one.")]
FirstFrame = Annotated[str, Option(help="What makes opening pictures for image-to-video.")]
FirstFrameVariant = Annotated[str | None, Option(help="Its checkpoint.")]
FirstFrameOptions = Annotated[
    list[str] | None, Option("--first-frame-option", help="NAME=VALUE of the maker of opening pictures.")
]
FirstFrames = Annotated[Path | None, Option(help="Folder of opening pictures that models share.")]
Device = Annotated[str, Option(help="cpu, cuda, cuda:1, or auto.")]
Dtype = Annotated[str, Option(help="float32, float16, bfloat16, or auto for the published one.")]
Weights = Annotated[Path | None, Option(help="Folder of weights instead of the cache.")]
Python = Annotated[Path | None, Option(help="Run the model in this interpreter's environment.")]


def read_pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """`["a=1", "b=x"]` as a mapping. Raises RequestError for a pair without "=" and for a name given twice."""
    from mmbench.errors import RequestError

    found: dict[str, str] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise RequestError(f"{option} {pair!r} is no NAME=VALUE.", f"For example {option} identity_scale=0.8.")
        if name in found:
            raise RequestError(f"{option} gives {name} twice.", "Give it once.")
        found[name] = value.strip()
    return found


def see_own_code(named: Iterable[object]) -> None:
    """Let `module:Class` of the user's own be found where the command is run: after everything that is installed.

    The folder is looked into only where such a name is among those `named`; else what lies there is not code.
    """
    here = str(Path.cwd())
    if here not in sys.path and any(isinstance(name, str) and re.fullmatch(CLASS, name) for name in named):
        sys.path.append(here)


def pick_device(name: str, python: Path | None = None) -> str:
    """The device to run on. One that is named must be here, unless the model runs in another interpreter's torch."""
    if name != "auto" and python is not None:
        return name
    if name != "auto":
        from mmbench.device import torch_device

        return str(torch_device(name))
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settings_from(**given: Any) -> Any:
    """`GenerateSettings` of what was typed. Raises RequestError naming every value that cannot be."""
    from mmbench.config import GenerateSettings

    see_own_code((*given["models"], given.get("first_frame")))
    device = pick_device(given.pop("device"), given.get("python"))
    return GenerateSettings.filled(**given, device=device)
