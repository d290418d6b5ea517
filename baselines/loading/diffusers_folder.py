"""Opening diffusers folders without the network, and without a missing weight going unnoticed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.loading.checkpoint import listing
from mmbench.errors import MissingWeights, WeightsError, require_extra

if TYPE_CHECKING:
    import torch

LIBRARIES = ("diffusers", "transformers")
"""Where the classes of a downloaded folder may come from: its index is not trusted to name any other module."""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep diffusers' and transformers' own bars and notices off the screen; their settings are put back after.

    With them goes torch's notice that the normed convolutions some of diffusers' networks are made of will be replaced.
    Raises MissingDependency unless both are installed.
    """
    require_extra("generate")
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    bars = diffusers_logging.is_progress_bar_enabled(), transformers_logging.is_progress_bar_enabled()
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*torch\.nn\.utils\.weight_norm", FutureWarning)
            yield
    finally:
        for logging, level, bar in zip((diffusers_logging, transformers_logging), levels, bars, strict=True):
            logging.set_verbosity(level)
            if bar:
                logging.enable_progress_bar()


def open_folder(pipeline: Any, folder: Path, dtype: torch.dtype | None) -> Any:
    """A pipeline of class `pipeline` from a local folder, without the network.

    diffusers and transformers fill weights that a file lacks with random numbers and only log it; here that is a
    WeightsError, as is a key that no module wants.
    """
    parts = {
        name: open_part(library, class_name, folder / name, dtype)
        for name, (library, class_name) in components(folder).items()
        if (folder / name / "config.json").is_file()
    }
    return pipeline.from_pretrained(folder, dtype=dtype, local_files_only=True, **parts)


def components(folder: Path) -> dict[str, tuple[str, str]]:
    """Component name to (library, class) of `model_index.json`, those set to null left out."""
    index = read_config(folder / "model_index.json")
    return {
        name: (value[0], value[1])
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
    }


def open_part(
    library: str, class_name: str, folder: Path, dtype: torch.dtype | None, idle: tuple[str, ...] = ()
) -> Any:
    """One network of a diffusers folder, by `from_pretrained`, with its report of keys checked.

    Raises MissingWeights without a `config.json`, WeightsError for one that is no JSON and for keys that do not fit.
    Keys that start with one of `idle` belong to layers that are not run, and may be there or not; position ids, which
    old transformers versions stored and new ones compute, are no weights.
    """
    import importlib

    if library not in LIBRARIES:
        raise WeightsError(
            f"{folder.parent / 'model_index.json'} names the library {library!r}, which no published model does.",
            f"Only classes of {' and '.join(LIBRARIES)} are loaded. Fetch the file again.",
        )
    read_config(folder / "config.json")
    found = getattr(importlib.import_module(library), class_name)
    options: dict[str, Any] = {"output_loading_info": True, "local_files_only": True}
    if dtype is not None:
        options["dtype"] = dtype
    if library == "diffusers":
        options["low_cpu_mem_usage"] = True
    module, report = found.from_pretrained(folder, **options)
    errors = report.pop("error_msgs", None)
    bad = []
    for kind, keys in report.items():
        names = [key for key in map(str, keys) if not key.endswith("position_ids") and not key.startswith(idle)]
        if names:
            bad.append(f"{kind} {listing(sorted(names))}")
    if bad or errors:
        raise WeightsError(
            f"{folder} does not fit {class_name}: {'; '.join(bad) or errors}.",
            "Fetch the folder again; a file may be missing or of another release.",
        )
    return module.eval()


def read_config(path: Path) -> dict[str, Any]:
    """A JSON configuration. Raises MissingWeights when it is absent, WeightsError when it is not JSON."""
    if not path.is_file():
        raise MissingWeights(f"There is no file {path}.", "`mmbench weights list` shows where it comes from.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} is no JSON: {error}.", "Fetch it again.") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds no JSON object.", "Fetch it again.")
    return found
