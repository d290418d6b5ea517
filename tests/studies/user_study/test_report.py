"""Raters of known taste are found again within the intervals; careless ones and repeats count nowhere."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import ManifestError
from mmbench.reports.numbers.people.bradley_terry import bradley_terry
from mmbench.studies.user_study.design import (
    ASPECTS,
    DESIGN,
    KEY,
    PREFERENCE,
    Answers,
    Kind,
    Stimulus,
    StudyDesign,
    StudyKey,
    StudyTask,
    read_design,
    read_key,
    write_part,
)
from mmbench.studies.user_study.judgements import read_judgements
from mmbench.studies.user_study.make import NewStudy, new_study
from mmbench.studies.user_study.pages import study_json, study_markdown, write_study_report
from mmbench.studies.user_study.plan import PlannedClip, PlanOptions, plan_sheets
from mmbench.studies.user_study.report import StudyReport, StudyReportOptions, report_study
from mmbench.studies.user_study.status import study_status
from mmbench.studies.user_study.votes import Vote, new_token, open_votes
from tests.studies.user_study.conftest import Crowd, MadeRun, marking, preferring


def drawn_study(folder: Path, kind: Kind, models: tuple[str, ...], options: PlanOptions, scenes: int = 12) -> Path:
    """A study whose clips exist by name alone: what reports read."""
    clips = [PlannedClip(model, f"scene-{scene}") for scene in range(scenes) for model in models]
    sheets = plan_sheets(clips, kind, options)
    names = [f"{place:032x}.mp4" for place in range(len(clips))]
    questions = ASPECTS if kind == "aspects" else PREFERENCE
    tasks: list[StudyTask] = []
    checks: dict[int, Answers] = {}
    numbered = []
    for sheet in sheets:
        numbers = []
        for shown in sheet:
            numbers.append(len(tasks))
            if shown[0] < 0:
                checks[len(tasks)] = {question.id: 4 if kind == "aspects" else "right" for question in questions}
                shown = (0,) if kind == "aspects" else (0, 1)
            tasks.append(StudyTask(clips=tuple(names[place] for place in shown)))
        numbered.append(tuple(numbers))
    folder.mkdir(parents=True, exist_ok=True)
    write_part(
        folder / DESIGN,
        StudyDesign(
            id="s", kind=kind, title="T", consent="C", questions=questions, tasks=tuple(tasks), sheets=tuple(numbered)
        ),
    )
    stimuli = {
        name: Stimulus(model=c.model, item=f"{c.model}/{c.scene}", identity=c.scene, scene=c.scene)
        for name, c in zip(names, clips, strict=True)
    }
    write_part(folder / KEY, StudyKey(id="s", seed=options.seed, runs=(), stimuli=stimuli, checks=checks))
    return folder


def quick(study: Path, **options: object) -> StudyReport:
    return report_study(study, StudyReportOptions(**options))  # type: ignore[arg-type]


@given(st.integers(0, 2**31))
@settings(max_examples=5, deadline=None)
def test_random_strengths_are_found_within_the_intervals(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = random.Random(seed)
    models = tuple(f"model-{at}" for at in range(rng.randint(3, 5)))
    strengths = {model: rng.uniform(-1.2, 1.2) for model in models}
    folder = tmp_path_factory.mktemp("pairs")
    study = drawn_study(folder, "pairs", models, PlanOptions(30, 24, 2, 1, seed))
    Crowd(30, preferring(strengths, draws=rng.random()), seed=seed).vote(study)
    found = quick(study).strengths["overall"]
    middle = sum(strengths.values()) / len(strengths)
    outside = []
    for one in found.strengths:
        assert one.low is not None and one.high is not None and one.low < one.value < one.high
        truth, half = strengths[one.model] - middle, (one.high - one.low) / 2
        outside.append(max(0.0, one.low - truth, truth - one.high) / half)
        assert half < 1.0  # and the intervals say something
    # Of 95 % intervals one in twenty misses; none by far.
    assert sum(one > 0 for one in outside) <= 1 and max(outside) < 1.0, outside


@given(st.integers(0, 2**31))
@settings(max_examples=5, deadline=None)
def test_random_means_are_found_within_the_intervals(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = random.Random(seed)
    models = tuple(f"model-{at}" for at in range(4))
    means = {model: {question.id: rng.uniform(3.5, 7.5) for question in ASPECTS} for model in models}
    study = drawn_study(tmp_path_factory.mktemp("marks"), "aspects", models, PlanOptions(40, 24, 2, 1, seed))
    taste = marking(means, bias=0.8, noise=1.2)
    Crowd(40, taste, seed=seed).vote(study)
    table = quick(study).table
    assert table is not None
    # What so many raters' habits make of the means, cutting and rounding included.
    habits = np.array([random.Random(f"habit {rater}").gauss(0, 0.8) for rater in range(40)])
    outside, count = 0, 0
    for row in table.rows:
        for question, cell in zip(ASPECTS, row.cells, strict=True):
            latent = np.random.default_rng(0).normal(means[row.model][question.id], 1.2, 4000)
            population = np.random.default_rng(1).normal(0, 0.8, 4000)
            truth = np.clip(np.round(latent + population), 1, 10).mean()
            assert cell.low is not None and cell.high is not None and cell.mean is not None
            outside += not cell.low <= truth <= cell.high
            count += 1
            assert cell.high - cell.low < 2
            assert abs(cell.mean - truth) < 0.6 + abs(habits.mean())
    # Habits are one draw for all cells: they miss together or not at all; a sample mean of habits so far out is rare.
    if abs(habits.mean()) < 0.8 / math.sqrt(40):
        assert outside <= count * 0.2


def test_careless_raters_and_repeats_count_nowhere(tmp_path: Path) -> None:
    models = ("omega", "kappa", "sigma")
    study = drawn_study(tmp_path / "s", "pairs", models, PlanOptions(12, 12, 3, 2, 1))
    Crowd(12, preferring({"omega": 3, "kappa": 0, "sigma": -3}), careless=4).vote(study)
    said = read_judgements(study)
    assert [one.counts for one in said.raters] == [False] * 4 + [True] * 8
    assert {one.rater for one in said.first} == {one.rater for one in said.raters if one.counts}
    assert len(said.first) == 8 * 12
    assert len(said.steadiness()) == 8 * 3
    assert len(read_judgements(study, allowed_wrong=2).first) == 12 * 12
    status = study_status(study)
    assert status.votes == 12 * 17 and status.sheets_used == 12
    assert "raters who failed an attention check: 4" in status.lines
    assert not any(model in str(status) for model in models)


def test_a_steady_crowd_is_steady_whichever_side_clips_stand_on(tmp_path: Path) -> None:
    study = drawn_study(tmp_path / "s", "pairs", ("a", "b", "c"), PlanOptions(6, 12, 4, 1, 1))

    def by_name(clips: tuple[Stimulus, ...], rng: random.Random, rater: int) -> Answers:
        return {"overall": "left" if clips[0].model < clips[1].model else "right"}

    Crowd(6, by_name).vote(study)
    report = quick(study)
    (steady,) = report.steadiness
    assert (steady.same, steady.n, steady.apart) == (24, 24, 0.0)
    assert [one.model for one in report.strengths["overall"].strengths] == ["a", "b", "c"]


def test_what_could_not_be_judged_is_counted_and_not_guessed(tmp_path: Path) -> None:
    study = drawn_study(tmp_path / "s", "aspects", ("a", "b"), PlanOptions(2, 8, 0, 0, 1))
    means = {model: {question.id: 5.0 for question in ASPECTS} for model in "ab"}
    taste = marking(means)
    Crowd(2, lambda clips, rng, rater: {} if clips[0].scene == "scene-1" else taste(clips, rng, rater)).vote(study)
    said = read_judgements(study)
    assert said.unjudged == sum(one.clips[0].scene == "scene-1" for one in said.judgements) > 0
    assert all(one.answers for one in said.first)
    assert any("could not judge" in note for note in quick(study).notes)


def test_a_metric_that_people_follow_tracks_and_its_opposite_does_not(tmp_path: Path, make_run: MadeRun) -> None:
    models = ("good", "fair", "poor")
    rank = {"good": 0.9, "fair": 0.6, "poor": 0.3}

    def number(model: str, identity: str, prompt: int) -> float:
        return rank[model] + int(identity[-1]) / 100 + prompt / 1000

    run = make_run(tmp_path / "run", models=models, people=8, prompts=1, numbers=number)
    for kind in ("aspects", "pairs"):
        options = NewStudy(kind=kind, plan=PlanOptions(12, 24, 0, 1, 5))  # type: ignore[arg-type]
        study = new_study([run], tmp_path / kind, options).folder
        means = {model: {question.id: 10 * rank[model] for question in ASPECTS} for model in models}
        taste = marking(means) if kind == "aspects" else preferring({m: 4 * rank[m] for m in models})
        Crowd(12, taste).vote(study)
        report = quick(study)
        (one,) = report.tracking["overall"]
        assert one.metric == "id_similarity" and one.verdict == "tracks" and one.value is not None and one.value > 0.5
        against = {m: {question.id: 10 - 10 * rank[m] for question in ASPECTS} for m in models}
        other = new_study([run], tmp_path / f"{kind}-other", options).folder
        Crowd(12, marking(against) if kind == "aspects" else preferring({m: -4 * rank[m] for m in models})).vote(other)
        assert quick(other).tracking["overall"][0].verdict == "against"


def test_table_2_stands_beside_the_published_one(tmp_path: Path) -> None:
    study = drawn_study(tmp_path / "s", "aspects", ("mine", "<b>yours</b> | x"), PlanOptions(4, 12, 2, 1, 1))
    means = {m: {question.id: 6.0 for question in ASPECTS} for m in ("mine", "<b>yours</b> | x")}
    Crowd(4, marking(means)).vote(study)
    report = quick(study)
    assert report.table is not None
    published = {row.model: row for row in report.table.published}
    assert [cell.mean for cell in published["Magic Mirror"].cells] == [6.97, 8.88, 7.02, 6.39, None]
    text = study_markdown(report)
    assert "| *Magic Mirror* | 6.97 | 8.88 | 7.02 | 6.39 |" in text
    assert "<b>" not in text
    assert "No metric is compared with people" in text
    paths = write_study_report(report, tmp_path / "out")
    assert {path.name for path in paths} == {"report.md", "report.json", "table.csv", "table.tex"}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == json.loads(json.dumps(study_json(report)))


def test_ten_thousand_votes_are_read_and_reported(tmp_path: Path) -> None:
    models = ("a", "b", "c", "d")
    study = drawn_study(tmp_path / "s", "pairs", models, PlanOptions(100, 100, 0, 2, 1), scenes=30)
    Crowd(100, preferring({"a": 1, "b": 0.5, "c": 0, "d": -1})).vote(study)
    report = quick(study)
    found = report.strengths["overall"]
    assert found.n == 10_000
    assert [one.model for one in found.strengths] == list(models)
    assert study_status(study).votes == 10_200


def test_no_votes_no_report_and_another_key_is_refused(tmp_path: Path) -> None:
    study = drawn_study(tmp_path / "s", "pairs", ("a", "b"), PlanOptions(2, 4, 0, 0, 1))
    with pytest.raises(ManifestError, match="no votes"):
        quick(study)
    key = read_judgements(study).key
    write_part(study / KEY, key.model_copy(update={"id": "t"}))
    with pytest.raises(ManifestError, match="another study"):
        quick(study)
    (study / KEY).write_text("{")
    with pytest.raises(ManifestError, match="no JSON"):
        quick(study)


def test_sides_do_not_matter_to_strengths() -> None:
    from mmbench.reports.numbers.people.bradley_terry import PairVote

    rng = random.Random(4)
    votes = [
        PairVote("a", "b", rng.choice((0.0, 0.5, 1.0, 1.0)), rater=number % 9, cluster=number % 8)
        for number in range(200)
    ]
    turned = [replace(one, first="b", second="a", score=1 - one.score) for one in votes]
    assert bradley_terry(votes, resamples=100) == bradley_terry(turned, resamples=100)


@pytest.mark.parametrize("answer", [None, {}])
def test_who_passes_over_a_check_does_not_count(tmp_path: Path, answer: Answers | None) -> None:
    study = drawn_study(tmp_path / "s", "pairs", ("a", "b"), PlanOptions(2, 6, 0, 2, 1))
    design, key = read_design(study), read_key(study)
    store = open_votes(study, design)
    for number in range(2):
        seat = store.join(new_token(), 2)
        assert seat is not None
        sheet = design.sheets[seat.sheet]
        first = min(slot for slot, place in enumerate(sheet) if place in key.checks)
        for slot, place in enumerate(sheet):
            given = (answer if number else key.checks[place]) if place in key.checks else {"overall": "left"}
            if given is not None and not (number == 0 and slot > first):  # the first rater leaves in between
                store.put(seat.rater, Vote(slot, 1, given, 1.0))
    honest, sly = read_judgements(study).raters
    assert (honest.passed, honest.failed, honest.counts) == (1, 0, True)
    assert sly.failed >= 1 and not sly.counts


def test_names_of_models_are_no_markup_in_notes(tmp_path: Path) -> None:
    models = ("<img src=x onerror=alert(1)>", "[b](javascript:1)", "c", "d")
    study = drawn_study(tmp_path / "s", "pairs", models, PlanOptions(4, 12, 0, 0, 1))

    def apart(clips: tuple[Stimulus, ...], rng: random.Random, rater: int) -> Answers:
        here = {clip.model in models[:2] for clip in clips}
        return {"overall": "left"} if len(here) == 1 else {}

    Crowd(4, apart).vote(study)
    text = study_markdown(quick(study))
    assert "no vote ties" in text
    assert "<img" not in text and "[b](" not in text
