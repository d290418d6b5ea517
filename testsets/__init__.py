"""Bundled and importable test sets: manifests, prompts and rules as data."""

from mmbench.testsets.load import load_testset
from mmbench.testsets.types import GROUPS, TRIGGER, Identity, Prompt, TestSet

__all__ = ["GROUPS", "TRIGGER", "Identity", "Prompt", "TestSet", "load_testset"]
