"""The leaderboard: marks, coverage, missing cells, random weights, mixtures, order."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from mmbench.errors import MMBenchError
from mmbench.reports.numbers.samples import take_samples
from mmbench.reports.table.tables import Cell, Table, TableOptions, build_table
from mmbench.runs.evaluate.rows import ItemRow, MeasuredFile, RowError, SetRow
from mmbench.scores import Provenance, Score

IDENTITIES = ("anna", "bert", "carl")


def cell(table: Table, model: str, metric: str) -> Cell:
    row = next(row for row in table.rows if row.model == model)
    return row.cells[[column.facts.name for column in table.columns].index(metric)]


def marks(table: Table, metric: str) -> dict[str, str]:
    return {row.model: cell(table, row.model, metric).mark for row in table.rows}


def test_mean_interval_and_coverage_of_a_hand_case(facts: Any, make_row: Any) -> None:
    rows = [
        make_row("m", identity, id_similarity=value) for identity, value in zip("abc", (0.8, 0.9, 1.0), strict=True)
    ]
    rows.append(make_row("m", "d", id_similarity=Score.missing("id_similarity", "no face", "Look.")))
    found = cell(build_table(take_samples(rows), facts), "m", "id_similarity")
    assert found.mean == pytest.approx(0.9)
    # t interval: 4.303 * 0.1 / sqrt(3) on both sides, cut at the top of the range of a cosine.
    assert found.low == pytest.approx(0.9 - 4.302653 * 0.1 / 3**0.5)
    assert found.high == 1.0
    assert (found.n, found.n_total, found.n_clusters) == (3, 4, 3)
    assert found.gaps[0].reason == "no face"


def test_best_and_second_follow_the_direction(facts: Any, make_row: Any) -> None:
    values = {"a": (0.9, 0.03), "b": (0.8, 0.01), "c": (0.7, 0.02)}
    rows = [
        make_row(model, identity, id_similarity=similarity, similarity_decay=decay)
        for model, (similarity, decay) in values.items()
        for identity in IDENTITIES
    ]
    table = build_table(take_samples(rows), facts)
    assert marks(table, "id_similarity") == {"a": "best", "b": "second", "c": ""}
    assert marks(table, "similarity_decay") == {"a": "", "b": "best", "c": "second"}


def test_what_prints_equal_shares_its_mark(facts: Any, make_row: Any) -> None:
    values = {"a": 0.90004, "b": 0.90001, "c": 0.7}
    rows = [make_row(m, i, id_similarity=value) for m, value in values.items() for i in IDENTITIES]
    assert marks(build_table(take_samples(rows), facts), "id_similarity") == {"a": "best", "b": "best", "c": ""}
    level = [make_row(m, i, id_similarity=0.9) for m in "ab" for i in IDENTITIES]
    assert marks(build_table(take_samples(level), facts), "id_similarity") == {"a": "", "b": ""}
    alone = [make_row("a", i, id_similarity=0.9) for i in IDENTITIES]
    assert marks(build_table(take_samples(alone), facts), "id_similarity") == {"a": ""}


def test_a_mean_over_few_of_its_clips_cannot_win(facts: Any, make_row: Any) -> None:
    gone = Score.missing("id_similarity", "no face")
    rows = [make_row("hides", i, id_similarity=0.99 if i == "anna" else gone) for i in IDENTITIES]
    rows += [make_row(m, i, id_similarity=value) for m, value in (("a", 0.9), ("b", 0.8)) for i in IDENTITIES]
    assert marks(build_table(take_samples(rows), facts), "id_similarity") == {"hides": "", "a": "best", "b": "second"}


def test_missing_everywhere_is_a_cell_with_reason_and_remedy(facts: Any, make_row: Any) -> None:
    gone = Score.missing("fm_ref", "no weights of retinaface", "Run `mmbench weights get retinaface`.")
    rows = [make_row("a", i, id_similarity=0.9, fm_ref=gone) for i in IDENTITIES]
    rows += [make_row("b", i, id_similarity=0.9) for i in IDENTITIES]
    table = build_table(take_samples(rows), facts)
    found = cell(table, "a", "fm_ref")
    assert (found.state, found.mean, found.reason) == ("missing", None, "no weights of retinaface")
    assert any("mmbench weights get retinaface" in note for note in table.footnotes)
    assert cell(table, "b", "fm_ref").reason == "not measured in this run"
    assert "FM ref" not in " ".join(table.notes)
    assert "Dynamic degree" in " ".join(table.notes)  # nobody asked for it: named, no empty column


def test_unusable_clips_count_in_the_coverage(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, id_similarity=0.9 + 0.01 * n) for n, i in enumerate(IDENTITIES)]
    rows.append(make_row("a", "emil", error=RowError("MediaError", "x.mp4: truncated", "Copy it again.")))
    table = build_table(take_samples(rows), facts)
    found = cell(table, "a", "id_similarity")
    assert (found.n, found.n_total) == (3, 4)
    assert any("1 of 4 clips could not be measured" in text for text in table.warnings)


def test_random_weights_stay_out_unless_asked_for_and_are_never_ranked_by_default(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, id_similarity=0.99, backend="dlib", random_weights=True) for i in IDENTITIES]
    rows += [make_row(m, i, id_similarity=v) for m, v in (("b", 0.9), ("c", 0.8)) for i in IDENTITIES]
    hidden = build_table(take_samples(rows), facts)
    assert cell(hidden, "a", "id_similarity").mean is None
    assert "untrained" in cell(hidden, "a", "id_similarity").reason
    shown = build_table(take_samples(rows), facts, TableOptions(random_weights="show"))
    assert cell(shown, "a", "id_similarity").mean == pytest.approx(0.99)
    for table in (hidden, shown):
        assert marks(table, "id_similarity") == {"a": "", "b": "best", "c": "second"}
    ranked = build_table(take_samples(rows), facts, TableOptions(random_weights="rank"))
    assert marks(ranked, "id_similarity")["a"] == "best"


def test_untrained_generators_count_as_random_weights(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, id_similarity=0.9, extra={"random_weights": "true"}) for i in IDENTITIES]
    assert cell(build_table(take_samples(rows), facts), "a", "id_similarity").state == "missing"


def test_backend_is_in_the_heading_and_a_mixture_is_not_ranked(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, dynamic_degree=1.0, backend="dis") for i in IDENTITIES]
    alone = build_table(take_samples(rows), facts)
    assert alone.columns[0].heading == "Dynamic degree (dis) ↑"
    assert "raft" not in alone.columns[0].heading
    rows += [make_row("b", i, dynamic_degree=0.0, backend="raft") for i in IDENTITIES]
    mixed = build_table(take_samples(rows), facts)
    assert mixed.columns[0].heading == "Dynamic degree (dis / raft) ↑"
    assert marks(mixed, "dynamic_degree") == {"a": "", "b": ""}
    assert any("different backends (a: dis; b: raft)" in text for text in mixed.warnings)


def test_other_weight_files_are_a_mixture_too(facts: Any, make_row: Any) -> None:
    other = Provenance("dlib", {"dlib.dat": "1" * 64})
    rows = [make_row("a", i, id_similarity=0.9) for i in IDENTITIES]
    rows += [make_row("b", i, id_similarity=Score.ok("id_similarity", 0.8, other)) for i in IDENTITIES]
    table = build_table(take_samples(rows), facts)
    assert marks(table, "id_similarity") == {"a": "", "b": ""}
    assert any("different weight files" in text for text in table.warnings)


def test_variants_of_a_definition_are_not_ranked_and_remarks_are_counted(facts: Any, make_row: Any) -> None:
    """A metric may state a variant (another prompt, other limits) and remark on single clips."""

    def row(model: str, person: int, variant: str, **remark: str) -> ItemRow:
        made_by = Provenance("dlib", {"dlib.dat": "0" * 64})
        value = (0.5 if model == "a" else 0.6) + person / 100
        score = Score.ok("id_similarity", value, made_by, variant=variant, **remark)
        return make_row(model, f"p{person}", id_similarity=score)

    rows = [row("a", person, "short prompt") for person in range(6)]
    rows += [row("b", person, "long prompt", **({"remark": "cut"} if person < 2 else {})) for person in range(6)]
    table = build_table(take_samples(rows), facts)
    assert table.columns[0].heading == "ID similarity (dlib long prompt / dlib short prompt) ↑"
    assert marks(table, "id_similarity") == {"a": "", "b": ""}
    assert "2 of 6 clips: cut" in table.footnotes
    level = [row(model, person, "short prompt") for model in "ab" for person in range(6)]
    alike = build_table(take_samples(level), facts)
    assert marks(alike, "id_similarity")["b"] == "best"


def test_mixed_geometry_and_rates_warn(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, id_similarity=0.9) for i in IDENTITIES]
    for n, identity in enumerate(IDENTITIES):
        small = MeasuredFile(16, 512, 512, 10.0, "assumed", "e" * 64, (f"cadence: 3{n}% repeat", "assumed_fps: 8"))
        rows.append(make_row("b", identity, id_similarity=0.8, clip=small))
    text = " ".join(build_table(take_samples(rows), facts).warnings)
    for part in ("a: 720x480; b: 512x512", "a: 8 fps; b: 10 fps", "a: 49 frames; b: 16 frames"):
        assert part in text
    assert text.count("3 clips of unknown frame rate") == 1
    assert "3 clips, for example: 30% repeat" in text
    assert "assumed_fps" not in text
    assert build_table(take_samples(rows[:3]), facts).warnings == ()


def test_other_identities_warn(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, id_similarity=0.9) for i in IDENTITIES]
    rows += [make_row("b", i, id_similarity=0.8) for i in ("anna", "zoe")]
    text = " ".join(build_table(take_samples(rows), facts).warnings)
    assert "a: 3, b: 2; shared by all: 1" in text


def test_set_metrics_have_no_interval_and_say_so(facts: Any, make_row: Any) -> None:
    rows = [make_row(m, i, id_similarity=0.9) for m in "ab" for i in IDENTITIES]
    sets = [
        SetRow("a", 3, (Score.ok("inception_score", 9.5, order="manifest", std=0.25, warning="3 clips are few"),)),
        SetRow("b", 3, (Score.missing("inception_score", "fewer than 10 videos", "Add clips."),)),
    ]
    table = build_table(take_samples(rows, sets), facts)
    found = cell(table, "a", "inception_score")
    assert (found.mean, found.low, found.n) == (9.5, None, 3)
    assert found.note.startswith("set statistic")
    assert "3 clips are few; standard deviation over its splits 0.25" in found.note
    assert table.columns[0].heading == "Inception score (manifest order) ↑"
    assert cell(table, "b", "inception_score").reason == "fewer than 10 videos"


def test_columns_keep_the_papers_order_and_companions_are_optional(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, fm_ref=0.5, id_margin=0.1, id_similarity=0.9, dynamic_degree=1.0) for i in IDENTITIES]
    names = [column.facts.name for column in build_table(take_samples(rows), facts).columns]
    assert names == ["dynamic_degree", "id_similarity", "fm_ref"]
    more = build_table(take_samples(rows), facts, TableOptions(companions=True))
    assert [column.facts.name for column in more.columns] == ["dynamic_degree", "id_similarity", "id_margin", "fm_ref"]
    chosen = build_table(take_samples(rows), facts, TableOptions(metrics=("id_margin", "fm_ref")))
    assert [column.facts.name for column in chosen.columns] == ["id_margin", "fm_ref"]
    with pytest.raises(MMBenchError, match="no metric 'typo'"):
        build_table(take_samples(rows), facts, TableOptions(metrics=("typo",)))


def test_numbers_of_uninstalled_metrics_are_named(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", i, id_similarity=0.9, plug_in=1.0) for i in IDENTITIES]
    assert any("plug_in" in note for note in build_table(take_samples(rows), facts).notes)


def test_row_order_does_not_matter(facts: Any, make_row: Any) -> None:
    rows = [
        make_row(m, i, p, id_similarity=0.8 + 0.01 * p + 0.001 * n)
        for m in "ab"
        for n, i in enumerate("cdefghijkl")
        for p in range(2)
    ]
    shuffled = random.Random(3).sample(rows, len(rows))
    assert build_table(take_samples(shuffled), facts) == build_table(take_samples(rows), facts)


def test_version_of_a_definition_is_part_of_the_label(facts: Any, make_row: Any) -> None:
    made_by = Provenance("dlib")
    rows = [make_row("a", i, fm_ref=Score.ok("fm_ref", 0.5, made_by, version=2)) for i in IDENTITIES]
    rows += [make_row("b", i, fm_ref=Score.ok("fm_ref", 3.0, made_by, version=1)) for i in IDENTITIES]
    table = build_table(take_samples(rows), facts)
    assert table.columns[0].labels == ("dlib v1", "dlib v2")
    assert marks(table, "fm_ref") == {"a": "", "b": ""}


def test_many_reasons_are_cut_short_in_the_footnotes(facts: Any, make_row: Any) -> None:
    rows = [make_row("a", "anna", p, fm_ref=Score.error("fm_ref", f"reason {p}")) for p in range(6)]
    rows.append(replace(rows[0], item=replace(rows[0].item, id="ok", seed=9), scores=(Score.ok("fm_ref", 0.5),)))
    found = cell(build_table(take_samples(rows), facts), "a", "fm_ref")
    assert len(found.gaps) == 6
    assert len(found.footnotes) == 5  # no interval, three reasons, "further reasons"


ORDERED = {"a": (0.9, 0.02), "b": (0.95, 0.01), "c": (0.85, 0.05)}


@pytest.mark.parametrize(
    ("order", "expected"),
    [("overall", "abc"), ("manifest", "cab"), ("id_similarity", "bac"), ("similarity_decay", "bac")],
)
def test_models_stand_by_what_was_chosen(facts: Any, make_row: Any, order: str, expected: str) -> None:
    rows = [
        make_row(model, identity, id_similarity=similarity, similarity_decay=decay)
        for model, (similarity, decay) in ORDERED.items()
        for identity in IDENTITIES
    ]
    table = build_table(take_samples(rows), facts, TableOptions(order=order, models=("c", "a", "b")))
    assert [row.model for row in table.rows] == list(expected)
    with pytest.raises(MMBenchError, match="no metric 'typo'"):
        build_table(take_samples(rows), facts, TableOptions(order="typo"))


def test_the_default_table_has_the_companions_that_are_not_fooled() -> None:
    from mmbench.metrics.registry import facts_by_name

    shown = [fact.name for fact in facts_by_name().values() if fact.in_default_table]
    assert shown.index("id_margin") == shown.index("id_similarity") + 1
    assert shown.index("fm_inter_local") == shown.index("fm_inter") + 1
    assert "id_verified" not in shown


def test_values_against_other_people_are_not_ranked(facts: Any, make_row: Any) -> None:
    def row(model: str, person: int, bank: str) -> ItemRow:
        score = replace(Score.ok("id_margin", 0.05 + person / 100), bank=bank)
        return make_row(model, f"p{person}", id_margin=score)

    rows = [row("a", person, "fifty people") for person in range(8)]
    rows += [row("b", person, "two people") for person in range(8)]
    table = build_table(take_samples(rows), facts, TableOptions(metrics=("id_margin",)))
    assert marks(table, "id_margin") == {"a": "", "b": ""}
    assert any("different sets of people" in text for text in table.warnings)
