"""Paired differences: who wins, what pairs with what, and what must not be concluded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from mmbench.errors import ManifestError
from mmbench.reports.numbers.comparison import Comparison, chosen_pairs, compare, compare_all, sentences
from mmbench.reports.numbers.power import enough_identities, why_all_undecidable
from mmbench.reports.numbers.samples import take_samples
from mmbench.reports.numbers.standings import standings
from mmbench.reports.numbers.stats import smallest_p
from mmbench.scores import Score


def only(comparison: Comparison, metric: str) -> Any:
    return next(row for row in comparison.differences if row.facts.name == metric)


@pytest.fixture
def two_models(make_row: Any) -> tuple[list[Any], list[Any]]:
    """20 identities x 2 prompts: A's similarity 0.02 higher on the same scene, decay equal up to noise."""
    rng = np.random.default_rng(0)
    a, b = [], []
    for number in range(20):
        for prompt in range(2):
            scene = rng.normal(0, 0.1)
            same = {"prompt_index": prompt}
            a.append(
                make_row(
                    "a",
                    f"id{number}",
                    **same,
                    id_similarity=0.80 + scene + rng.normal(0, 0.005),
                    similarity_decay=rng.normal(0, 0.01),
                )
            )
            b.append(
                make_row("b", f"id{number}", **same, id_similarity=0.78 + scene, similarity_decay=rng.normal(0, 0.01))
            )
    return a, b


def test_pairing_finds_what_unpaired_means_cannot(two_models: Any, facts: Any) -> None:
    a, b = two_models
    comparison = compare(a, b, facts)
    found = only(comparison, "id_similarity")
    assert comparison.pairing == "clip"
    assert found.difference.n == 40
    assert found.difference.n_clusters == 20
    assert found.difference.mean == pytest.approx(0.02, abs=0.003)
    assert found.difference.low > 0.015
    assert found.verdict == "a better"
    values = [[row.score("id_similarity").value for row in rows] for rows in (a, b)]
    assert scipy_stats.ttest_ind(*values).pvalue > 0.05  # the unpaired test sees nothing
    assert "a is higher, so better, than b by 0.02" in found.sentence
    assert "40 pairs of 20 identities" in found.sentence


def test_undecided_is_not_called_equal(two_models: Any, facts: Any) -> None:
    comparison = compare(*two_models, facts)
    found = only(comparison, "similarity_decay")
    assert found.verdict == "undecided"
    assert "no proof that they are equal" in found.sentence
    assert "a is better in ID similarity; undecided: Similarity decay." in comparison.summary


def test_swapping_sides_swaps_the_verdict(two_models: Any, facts: Any) -> None:
    a, b = two_models
    forward, backward = (only(compare(*sides, facts), "id_similarity") for sides in ((a, b), (b, a)))
    assert backward.verdict == "b better"
    assert backward.difference.mean == pytest.approx(-forward.difference.mean)
    assert backward.p == forward.p
    assert backward.sentence == forward.sentence  # the size and its interval are the winner's, whatever the order


def test_lower_is_better_is_respected(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", similarity_decay=0.01) for n in range(12)]
    b = [make_row("b", f"id{n}", similarity_decay=0.05 + 0.001 * n) for n in range(12)]
    found = only(compare(a, b, facts), "similarity_decay")
    assert found.verdict == "a better"
    assert "a is lower, so better" in found.sentence


def test_few_identities_cannot_conclude_and_the_sentence_says_so(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", p, id_similarity=0.9 + 0.001 * p) for n in range(4) for p in range(10)]
    b = [make_row("b", f"id{n}", p, id_similarity=0.5) for n in range(4) for p in range(10)]
    found = only(compare(a, b, facts), "id_similarity")
    assert found.p == found.smallest_p == 0.125
    assert found.verdict == "undecided"
    assert "4 identities are too few" in found.sentence


def test_what_no_value_could_decide_is_said_once(make_row: Any, facts: Any) -> None:
    def few(count: int) -> Comparison:
        a = [make_row("a", f"id{n}", id_similarity=0.9 + 0.01 * n, fm_ref=0.4 + 0.01 * n) for n in range(count)]
        b = [make_row("b", f"id{n}", id_similarity=0.5, fm_ref=0.2) for n in range(count)]
        return compare(a, b, facts)

    three = few(3)
    assert "3 identities are too few" in three.undecidable
    assert "over 2 tests together" in three.undecidable
    assert "at least 7 are needed" in three.undecidable
    assert three.summary.startswith("nothing can be decided: 3 identities")
    assert sentences(three) == []
    assert few(6).undecidable
    seven = few(7)  # the promised number suffices
    assert seven.undecidable == ""
    assert {row.verdict for row in seven.differences} == {"a better"}
    assert why_all_undecidable([three, three]) == three.undecidable
    assert why_all_undecidable([three, seven]) == ""
    assert why_all_undecidable([]) == ""


@pytest.mark.parametrize("tests", [1, 2, 27, 308, 410, 501, 20_000])
def test_enough_identities_is_the_least_number_that_can_decide(tests: int) -> None:
    enough = enough_identities(tests)
    assert smallest_p(enough) * tests <= 0.05 < smallest_p(enough - 1) * tests


def test_many_tests_can_still_be_decided(make_row: Any, facts: Any) -> None:
    """40 models in one table: 780 tests, and a difference beyond doubt is decided among them."""
    rng = np.random.default_rng(3)
    rows = [
        make_row(f"m{model:02d}", f"id{n}", id_similarity=0.5 * (model == 0) + 0.1 * float(rng.normal()))
        for model in range(40)
        for n in range(30)
    ]
    pairs = compare_all(take_samples(rows), {"id_similarity": facts["id_similarity"]})
    assert {pair.tests for pair in pairs} == {780}
    verdicts = [pair.differences[0].verdict for pair in pairs if pair.name_a == "m00"]
    assert verdicts.count("a better") >= 30


def test_the_same_rows_on_both_sides_are_called_so(make_row: Any, facts: Any) -> None:
    rows = [make_row("a", f"id{n}", id_similarity=0.8 + 0.01 * n) for n in range(3)]
    again = [replace(row, seconds=7.0) for row in reversed(rows)]
    found = compare(rows, again, facts)
    assert "both sides are the same rows" in found.summary
    assert (found.differences, found.tests, found.undecidable) == ((), 0, "")
    other = [*rows[:2], make_row("a", "id2", id_similarity=0.83)]
    assert "3 identities are too few" in compare(rows, other, facts).summary


def test_holm_spans_all_metrics_by_hand(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", id_similarity=0.9 + 0.01 * n, fm_ref=0.5 + 0.01 * n) for n in range(6)]
    b = [make_row("b", f"id{n}", id_similarity=0.5, fm_ref=0.2) for n in range(6)]
    comparison = compare(a, b, facts)
    # Two tests with p = 2 / 2**6 each: both adjusted to 2 * 0.03125 = 0.0625, so nothing is claimed.
    assert [row.p for row in comparison.differences] == [0.03125, 0.03125]
    assert [row.p_holm for row in comparison.differences] == [0.0625, 0.0625]
    assert comparison.tests == 2


def test_all_pairs_are_corrected_together(make_row: Any, facts: Any) -> None:
    rng = np.random.default_rng(1)
    rows = [make_row(m, f"id{n}", id_similarity=float(rng.normal())) for m in "abc" for n in range(8)]
    pairs = compare_all(take_samples(rows), facts)
    assert [(pair.name_a, pair.name_b) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {pair.tests for pair in pairs} == {3}
    smallest = min((pair.differences[0] for pair in pairs), key=lambda row: row.p)
    assert smallest.p_holm == pytest.approx(min(1.0, 3 * smallest.p))


def test_pairing_falls_back_to_what_is_shared(make_row: Any, facts: Any) -> None:
    def side(model: str, seed: int, shift: int) -> list[Any]:
        return [
            make_row(model, f"id{n}", p + shift, seed=seed, id_similarity=0.9 + 0.001 * p + 0.001 * n)
            for n in range(8)
            for p in range(2)
        ]

    assert compare(side("a", 0, 0), side("b", 0, 0), facts).pairing == "clip"
    prompts = compare(side("a", 0, 0), side("b", 7, 0), facts)
    assert (prompts.pairing, only(prompts, "id_similarity").difference.n) == ("prompt", 16)
    identities = compare(side("a", 0, 0), side("b", 0, 5), facts)
    assert (identities.pairing, only(identities, "id_similarity").difference.n) == ("identity", 8)
    assert "Prompts differ" in identities.notes[0]
    strangers = compare(side("a", 0, 0), [make_row("b", "zoe", id_similarity=0.5)], facts)
    assert (strangers.pairing, strangers.differences, strangers.tests) == ("none", (), 0)
    assert "share no identity" in strangers.notes[0]


def test_clips_without_a_value_are_counted_not_dropped_silently(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", id_similarity=0.9 + 0.001 * n) for n in range(10)]
    gone = Score.missing("id_similarity", "no face")
    b = [make_row("b", f"id{n}", id_similarity=gone if n < 3 else 0.8) for n in range(10)]
    found = only(compare(a, b, facts), "id_similarity")
    assert (found.difference.n, found.unpaired) == (7, 3)
    assert "3 clips had a value on one side only" in found.sentence


def test_other_backends_are_not_compared(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", dynamic_degree=1.0, backend="dis") for n in range(10)]
    b = [make_row("b", f"id{n}", dynamic_degree=0.0, backend="raft") for n in range(10)]
    found = only(compare(a, b, facts), "dynamic_degree")
    assert (found.verdict, found.p) == ("not comparable", None)
    assert "measured by dis on one side and raft on the other" in found.sentence


def test_values_against_other_people_are_not_compared(make_row: Any, facts: Any) -> None:
    """The ID margin of a run with fewer people is larger by itself."""

    def side(model: str, bank: str) -> list[Any]:
        return [
            make_row(model, f"p{n}", id_margin=replace(Score.ok("id_margin", 0.1 + n / 99), bank=bank))
            for n in range(9)
        ]

    found = only(compare(side("a", "fifty people"), side("b", "two people"), facts), "id_margin")
    assert (found.verdict, found.p) == ("not comparable", None)
    assert "other people" in found.sentence
    assert only(compare(side("a", "x"), side("b", "x"), facts), "id_margin").verdict == "undecided"


def test_a_side_without_values_is_named(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", id_similarity=Score.missing("id_similarity", "no face")) for n in range(3)]
    b = [make_row("b", f"id{n}", id_similarity=0.5) for n in range(3)]
    assert "the first side has no value" in only(compare(a, b, facts), "id_similarity").sentence


def test_a_title_with_a_comma_is_one_entry_of_the_summary(make_row: Any, facts: Any) -> None:
    sides = [[make_row(name, f"id{n}", fm_inter_rate=0.1, fm_ref=0.2) for n in range(9)] for name in "ab"]
    assert compare(*sides, facts).summary == "undecided: FM ref, FM inter (rate)."


def test_untrained_networks_are_not_compared_unless_asked(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", fm_ref=0.5 + 0.01 * n, random_weights=True) for n in range(10)]
    b = [make_row("b", f"id{n}", fm_ref=0.1, random_weights=True) for n in range(10)]
    found = only(compare(a, b, facts), "fm_ref")
    assert (found.verdict, found.p) == ("not comparable", None)
    assert "untrained" in found.sentence
    assert only(compare(a, b, facts, random_weights=True), "fm_ref").verdict == "a better"


def test_repeats_of_a_scene_are_averaged_not_counted_twice(make_row: Any, facts: Any) -> None:
    a = [make_row("a", f"id{n}", None, prompt=None, seed=None, id_similarity=v) for n in range(8) for v in (0.8, 1.0)]
    b = [make_row("b", f"id{n}", None, prompt=None, seed=None, id_similarity=0.7) for n in range(8)]
    found = only(compare(a, b, facts), "id_similarity")
    assert found.difference.n == 8
    assert found.difference.mean == pytest.approx(0.2)


def test_a_side_needs_exactly_one_model(make_row: Any, facts: Any) -> None:
    one = [make_row("a", "anna", id_similarity=0.9)]
    with pytest.raises(ManifestError, match="2 models: a, b"):
        compare([*one, make_row("b", "anna", id_similarity=0.9)], one, facts)
    with pytest.raises(ManifestError, match="no rows"):
        compare(one, [], facts)


def test_standings_count_decided_comparisons(make_row: Any, facts: Any) -> None:
    values = {"best": 0.9, "middle": 0.8, "same": 0.8}
    rng = np.random.default_rng(2)
    rows = [
        make_row(model, f"id{n}", similarity_decay=value + float(rng.normal(0, 0.01)))
        for model, value in values.items()
        for n in range(14)
    ]
    found = standings(compare_all(take_samples(rows), facts))
    counts = {
        model: (cell.wins, cell.losses, cell.undecided)
        for model, (cell,) in zip(found.models, found.cells, strict=True)
    }
    assert counts == {"best": (0, 2, 0), "middle": (1, 0, 1), "same": (1, 0, 1)}  # lower is better here


@given(
    st.lists(st.text(min_size=1, max_size=3), unique=True, min_size=2, max_size=6),
    st.data(),
)
def test_chosen_pairs_are_those_that_were_named(models: list[str], data: st.DataObject) -> None:
    two = st.lists(st.sampled_from(models), min_size=2, max_size=2, unique=True).map(tuple)
    pairs: list[Any] = data.draw(st.lists(two, max_size=4))
    against = data.draw(st.lists(st.sampled_from(models), max_size=2))
    found = chosen_pairs(models, against, pairs)
    wanted = {frozenset(pair) for pair in pairs} | {frozenset((a, b)) for a in against for b in models if a != b}
    assert {frozenset(pair) for pair in found} == wanted
    assert len(found) == len(wanted)  # each once
