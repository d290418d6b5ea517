"""The paper's tables: figures that can be checked by eye, and that they never mix with measured rows."""

from __future__ import annotations

from typing import Any

import pytest

from mmbench.errors import ManifestError
from mmbench.reports.numbers.samples import take_samples
from mmbench.reports.table.published import PublishedTable, published_tables, with_published
from mmbench.reports.table.tables import build_table


def value(table: str, model: str, metric: str) -> float | None:
    found = published_tables()[table]
    column = [column.metric for column in found.columns].index(metric)
    return next(row for row in found.rows if row.model == model).values[column]


def test_all_tables_are_there() -> None:
    assert set(published_tables()) == {
        "table1_v1",
        "table1_v2",
        "table2_user_study",
        "table3_v1",
        "table3_v2",
        "table4_v2",
        "table5_v2",
        "table6_v2",
    }


@pytest.mark.parametrize(
    ("table", "model", "metric", "figure"),
    [
        ("table1_v1", "Magic Mirror", "id_similarity", 0.911),
        ("table1_v1", "Magic Mirror", "fm_inter_face", 3.040),
        ("table1_v1", "CogVideoX-I2V", "overall_preference", 6.404),
        ("table1_v2", "Magic Mirror", "id_similarity", 0.922),
        ("table1_v2", "ConsisID", "inception_score", 11.09),
        ("table1_v2", "EasyAnimate-I2V", "motion_smoothness", 0.482),
        ("table2_user_study", "Magic Mirror", "user_text_alignment", 8.88),
        ("table3_v1", "Magic Mirror", "parameters_b", 12.8),
        ("table3_v2", "E: with CAN", "fm_inter", 0.696),
        ("table4_v2", "ID-Animator, 512x512", "motion_smoothness", 0.501),
        ("table5_v2", "ConsisID", "success_average", 69.0),
        ("table6_v2", "ID-Animator", "seconds", 11),
    ],
)
def test_figures(table: str, model: str, metric: str, figure: float) -> None:
    assert value(table, model, metric) == figure


def test_success_averages_are_the_mean_of_their_row() -> None:
    for row in published_tables()["table5_v2"].rows:
        *parts, average = (float(v) for v in row.values if v is not None)
        assert sum(parts) / 4 == pytest.approx(average, abs=0.051)


def test_unchanged_columns_agree_between_versions() -> None:
    for model in ("DynamiCrafter", "EasyAnimate-I2V", "CogVideoX-I2V", "ID-Animator", "Magic Mirror"):
        for metric in ("dynamic_degree", "text_alignment", "inception_score", "similarity_decay"):
            assert value("table1_v1", model, metric) == value("table1_v2", model, metric)


def test_published_rows_stand_apart_and_unmarked(make_row: Any, facts: Any) -> None:
    rows = [
        make_row(m, f"id{n}", id_similarity=v, dynamic_degree=0.0)
        for m, v in (("a", 0.4), ("b", 0.3))
        for n in range(3)
    ]
    measured = build_table(take_samples(rows), facts)
    table = with_published(measured, ("table1_v1", "table1_v2"))
    assert table.rows == measured.rows  # worse than every published figure, and still marked best among its own
    assert table.rows[0].cells[1].mark == "best"
    assert len(table.published) == 11
    assert not any(cell.mark or cell.n for row in table.published for cell in row.cells)
    assert {row.source for row in table.published} == {published_tables()[t].source for t in ("table1_v1", "table1_v2")}


def test_percent_become_shares_and_unknown_columns_are_absent(make_row: Any, facts: Any) -> None:
    from mmbench.metrics.base import MetricFacts

    rate = MetricFacts("success_face", "Face", True, "share", (0.0, 1.0), "d", "s", column=True)
    rows = [make_row("a", "anna", success_face=1.0, id_similarity=0.9)]
    table = with_published(build_table(take_samples(rows), {"success_face": rate, **facts}), ("table5_v2",))
    assert table.published[0].cells[0].mean == pytest.approx(0.935)
    assert table.published[0].cells[1].state == "absent"


def test_tables_without_a_shared_column_add_nothing(make_row: Any, facts: Any) -> None:
    table = build_table(take_samples([make_row("a", "anna", id_similarity=0.9)]), facts)
    assert with_published(table, ("table6_v2",)) == table


def test_unknown_ids_and_ragged_rows_are_refused(make_row: Any, facts: Any) -> None:
    table = build_table(take_samples([make_row("a", "anna", id_similarity=0.9)]), facts)
    with pytest.raises(ManifestError, match="no published table 'table9'"):
        with_published(table, ("table9",))
    good = published_tables()["table3_v1"].model_dump()
    good["rows"][0]["values"] = [1.0]
    with pytest.raises(ValueError, match="1 values for 3 columns"):
        PublishedTable.model_validate(good)
