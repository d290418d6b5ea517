"""Which folder of weights a model reads: the cache, the user's, or tiny random ones made on the spot."""

from __future__ import annotations

from pathlib import Path

from mmbench.baselines.contract import Model
from mmbench.weights.cache import cache_dir


def prepare_weights(folder: Path | None, model: Model, variant: str) -> Path:
    """The weights folder for `model`: `folder`, else the cache; a tiny variant's files are written there when absent.

    Tiny weights are random numbers in the published layout; what they make is marked `random_weights`.
    """
    if variant not in model.tiny_variants:
        return folder or cache_dir()
    from mmbench.baselines.loading.tiny import MAKERS, make_tiny

    root = folder or cache_dir() / "tiny"
    done = root / f".{model.name}.made"
    if model.name in MAKERS and not done.is_file():
        import filelock

        root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(root / f".{model.name}.lock"):
            if not done.is_file():
                make_tiny(root, model.name)
                done.touch()
    return root


def require_weights(folder: Path | None, model: Model, variant: str) -> None:
    """Raise MissingWeights, naming every absent file, where `model` could not be loaded from `folder` or the cache."""
    model.require(folder or cache_dir(), variant)


def weights_account(folder: Path | None, model: Model, variant: str) -> list[dict[str, str]]:
    """Name, revision and sha256 of every file that makes the model's pictures."""
    return model.weights_in_use(folder or cache_dir(), variant)
