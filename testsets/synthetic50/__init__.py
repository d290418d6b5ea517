"""synthetic50: fifty rendered people in seven groups, with references, prompts and clips of eight control systems."""

from __future__ import annotations

from pathlib import Path


def root() -> Path:
    """The folder that holds manifest.csv, prompts.csv, references/ and controls/."""
    return Path(__file__).resolve().parent
