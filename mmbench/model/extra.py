"""The optional packages behind the model."""

from __future__ import annotations

from importlib.util import find_spec

from mmbench.errors import MissingDependency


def require_generate() -> None:
    """Raise MissingDependency unless diffusers, transformers and accelerate are installed."""
    missing = [name for name in ("diffusers", "transformers", "accelerate") if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"Magic Mirror needs {', '.join(missing)}, which is not installed.", "pip install 'mmbench[generate]'"
        )
