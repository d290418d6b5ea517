"""Runs of tiny clips, studies made from them, and raters of known taste who vote into the store."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mmbench.files import sha256_file
from mmbench.items import Item
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile
from mmbench.runs.evaluate.store import RowWriter
from mmbench.scores import Provenance, Score
from mmbench.studies.user_study.design import Answers, Stimulus, StudyTask, read_design, read_key
from mmbench.studies.user_study.votes import Vote, new_token, open_votes
from mmbench.video.write import write_video

MadeRun = Callable[..., Path]
Taste = Callable[[tuple[Stimulus, ...], random.Random, int], Answers]


@pytest.fixture(scope="session")
def make_run() -> MadeRun:
    """A run of `models` on `people` persons and `prompts`, with real clips; `numbers` by (model, identity)."""

    def make(
        folder: Path,
        models: tuple[str, ...] = ("Alpha", "beta", "Gamma"),
        people: int = 3,
        prompts: int = 2,
        numbers: Callable[[str, str, int], float] = lambda model, identity, prompt: len(model) / 10,
    ) -> Path:
        from PIL import Image

        folder.mkdir(parents=True, exist_ok=True)
        made = Provenance("dlib", {"dlib.dat": "0" * 64})
        with RowWriter(folder, "0000-0") as writer:
            for person in range(people):
                identity = f"person-{person}"
                picture = folder / f"{identity}.png"
                Image.new("RGB", (40, 40), (60 * person % 256, 90, 120)).save(picture)
                for model in models:
                    for prompt in range(prompts):
                        video = folder / model / f"{identity}-{prompt}.mp4"
                        shade = hash((person, prompt)) % 200
                        frames = [np.full((48, 64, 3), shade + step, np.uint8) for step in range(4)]
                        write_video(video, frames, 8.0)
                        item = Item(
                            id=f"{model}/{identity}/{prompt}",
                            model=model,
                            identity=identity,
                            video=video,
                            references=(picture,),
                            prompt=f"A person does thing {prompt}",
                            prompt_index=prompt,
                        )
                        clip = MeasuredFile(4, 64, 48, 8.0, "container", sha256_file(video))
                        value = numbers(model, identity, prompt)
                        writer.add(ItemRow(item, (Score.ok("id_similarity", value, made),), clip))
        return folder

    return make


@dataclass(frozen=True)
class Crowd:
    """Raters who follow a taste; some of them fail the attention checks."""

    raters: int
    taste: Taste
    careless: int = 0
    seed: int = 0

    def vote(self, study: Path) -> None:
        """Fill sheets, one a rater, in the order in which they join."""
        design, key = read_design(study), read_key(study)
        store = open_votes(study, design)
        rng = random.Random(self.seed)
        for number in range(self.raters):
            seat = store.join(new_token(), len(design.sheets))
            assert seat is not None
            votes = []
            for slot, place in enumerate(design.sheets[seat.sheet]):
                task: StudyTask = design.tasks[place]
                if place in key.checks:
                    wanted = key.checks[place]
                    answers = wanted if number >= self.careless else _other(wanted)
                else:
                    answers = self.taste(tuple(key.stimuli[name] for name in task.clips), rng, number)
                assert not design.refusal(answers)
                votes.append(Vote(slot, 1, answers, 5.0))
            store.put_all(seat.rater, votes)


def _other(wanted: Answers) -> Answers:
    return {
        name: (value % 10 + 1 if isinstance(value, int) else "tie" if value != "tie" else "left")
        for name, value in wanted.items()
    }


def marking(means: Mapping[str, Mapping[str, float]], bias: float = 1.0, noise: float = 1.0) -> Taste:
    """Marks around a model's mean for each question, with a habit of each rater and chance, cut to 1 to 10."""

    def taste(clips: tuple[Stimulus, ...], rng: random.Random, rater: int) -> Answers:
        habit = random.Random(f"habit {rater}").gauss(0, bias)
        ((model),) = {clip.model for clip in clips}
        return {
            question: min(10, max(1, round(mean + habit + rng.gauss(0, noise))))
            for question, mean in means[model].items()
        }

    return taste


def preferring(strengths: Mapping[str, float], draws: float = 0.3) -> Taste:
    """Votes whose expected score is Bradley and Terry's: draws take as much from either side."""

    def taste(clips: tuple[Stimulus, ...], rng: random.Random, rater: int) -> Answers:
        left, right = (strengths[clip.model] for clip in clips)
        chance = 1 / (1 + math.exp(right - left))
        drawn = draws * min(chance, 1 - chance)
        lot = rng.random()
        side = "left" if lot < chance - drawn else "tie" if lot < chance + drawn else "right"
        return {"overall": side}

    return taste
