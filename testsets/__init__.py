"""Bundled and importable test sets: manifests, prompts and rules as data."""

from mmbench.testsets.load import load_testset
from mmbench.testsets.types import GROUPS, Identity, Prompt, TestSet
from mmbench.trigger import TRIGGER

__all__ = ["GROUPS", "TRIGGER", "Identity", "Prompt", "TestSet", "load_testset"]
