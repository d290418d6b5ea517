"""Which videos a run makes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.baselines.registry import BASELINES, create
from mmbench.config import GenerateSettings
from mmbench.runs.generate.plan import Job, choose_jobs, what_is_asked
from mmbench.testsets.types import Identity, Prompt


def jobs(counts: list[int]) -> list[Job]:
    """So many videos of each identity, in the order of a test set."""
    made = []
    for who, count in enumerate(counts):
        prompts = tuple(Prompt(f"p{who}-{n}", n, "A man img smiles.", "A man img smiles long.") for n in range(count))
        identity = Identity(f"id{who}", "man", "man", (Path("a.png"),), prompts)
        made += [Job(f"id{who}_{prompt.index:02d}", identity, prompt, 0) for prompt in prompts]
    return made


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 40))
def test_a_limit_takes_identities_in_turn(counts: list[int], limit: int) -> None:
    everything = jobs(counts)
    chosen = choose_jobs(everything, limit=limit)
    assert len(chosen) == min(limit, len(everything))
    assert chosen == [job for job in everything if job in chosen]  # the set's order
    taken = Counter(job.identity.id for job in chosen)
    for who, count in enumerate(counts):
        own = taken[f"id{who}"]
        if own < count:  # it could have had more: nobody has more than one above it
            assert max(taken.values()) <= own + 1
        assert [job.prompt.index for job in chosen if job.identity.id == f"id{who}"] == list(range(own))


def test_a_wrapper_that_makes_other_videos_asks_for_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = GenerateSettings(models=("vace",)).for_model("vace")
    model = create("vace")
    now = what_is_asked(settings, model, "tiny", "s")
    monkeypatch.setattr(type(model), "edition", 1)
    assert now != what_is_asked(settings, model, "tiny", "s")


@pytest.mark.parametrize("name", BASELINES)
def test_every_registered_models_request_can_be_told(name: str) -> None:
    model = create(name)
    asked = what_is_asked(GenerateSettings(models=(name,)).for_model(name), model, model.variants[0], "s")
    assert json.loads(json.dumps(asked)) == asked
