"""Sheets are balanced, seeded, and have their repeats late and exchanged, whatever the models and scenes."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.studies.user_study.plan import PlannedClip, PlanOptions, plan_sheets


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[PlannedClip], PlanOptions]:
    models, scenes = draw(st.integers(2, 6)), draw(st.integers(1, 7))
    clips = [PlannedClip(f"m{m}", f"s{s}") for s in range(scenes) for m in range(models)]
    options = PlanOptions(
        sheets=draw(st.integers(1, 12)),
        tasks=draw(st.integers(1, 20)),
        repeats=draw(st.integers(0, 4)),
        checks=draw(st.integers(0, 3)),
        seed=draw(st.integers(0, 10**6)),
    )
    return clips, options


def spread(counts: Counter[object], members: list[object]) -> int:
    return max(counts[one] for one in members) - min(counts[one] for one in members)


@given(plans())
@settings(max_examples=60, deadline=None)
def test_marks_show_every_model_and_every_clip_equally_often(plan: tuple[list[PlannedClip], PlanOptions]) -> None:
    clips, options = plan
    sheets = plan_sheets(clips, "aspects", options)
    models: Counter[object] = Counter()
    shown: Counter[object] = Counter()
    for sheet in sheets:
        tasks = [one for one in sheet if one[0] >= 0]
        distinct = set(tasks)
        count = min(options.tasks, len(clips))
        assert len(distinct) == count
        assert len(tasks) - count == min(options.repeats, max(1, count // 2))
        assert sum(one[0] < 0 for one in sheet) == options.checks
        assert sheet[0][0] >= 0
        shown.update(distinct)
        models.update(clips[place].model for (place,) in distinct)
    assert spread(models, sorted({clip.model for clip in clips})) <= 1
    for model in {clip.model for clip in clips}:
        assert spread(shown, [(place,) for place, clip in enumerate(clips) if clip.model == model]) <= 1


@given(plans())
@settings(max_examples=60, deadline=None)
def test_pairs_are_of_one_scene_and_sides_are_shared(plan: tuple[list[PlannedClip], PlanOptions]) -> None:
    clips, options = plan
    sheets = plan_sheets(clips, "pairs", options)
    pairs: Counter[object] = Counter()
    left: Counter[object] = Counter()
    for sheet in sheets:
        tasks = [one for one in sheet if one[0] >= 0]
        first = {frozenset(one): one for one in reversed(tasks)}
        for one in first.values():
            a, b = (clips[place] for place in one)
            assert a.scene == b.scene and a.model != b.model
            pairs[frozenset((a.model, b.model))] += 1
            left[a.model, b.model] += 1
        for one in tasks:  # a repeat has its sides exchanged
            assert one in (first[frozenset(one)], first[frozenset(one)][::-1])
        assert len([one for one in tasks if one[::-1] in tasks]) <= 2 * options.repeats
    names = sorted({clip.model for clip in clips})
    assert spread(pairs, [frozenset(pair) for pair in combinations(names, 2)]) <= 1
    for a, b in combinations(names, 2):
        assert abs(left[a, b] - left[b, a]) <= 1


@given(plans())
@settings(max_examples=20, deadline=None)
def test_the_seed_alone_decides(plan: tuple[list[PlannedClip], PlanOptions]) -> None:
    clips, options = plan
    assert plan_sheets(clips, "pairs", options) == plan_sheets(clips, "pairs", options)


def test_other_seeds_other_sheets_and_scenes_do_not_follow_each_other() -> None:
    clips = [PlannedClip(f"m{m}", f"s{s}") for s in range(12) for m in range(4)]
    first, second = (plan_sheets(clips, "aspects", PlanOptions(5, 12, 0, 0, seed)) for seed in (1, 2))
    assert first != second
    for sheet in first:
        assert not any(clips[a[0]].scene == clips[b[0]].scene for a, b in pairwise(sheet))
