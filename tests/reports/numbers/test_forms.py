"""Two forms of one model in one row: each column from the clips it asks for; what lacks is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.errors import MMBenchError
from mmbench.items import Item
from mmbench.reports.numbers.forms import LABEL, families, samples_of_forms
from mmbench.reports.numbers.samples import take_samples
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.scores import Score

COLUMNS = frozenset({"id_similarity", "id_margin"})


def row(model: str, number: int, face: bool, **scores: float) -> ItemRow:
    name = f"{model}-face" if face else model
    item = Item(
        f"{name}/{number}",
        name,
        f"p{number}",
        prompt_index=0,
        seed=number,
        video=f"{name}{number}.mp4",  # type: ignore[arg-type]
        extra={"prompt_form": "face"} if face else {},
    )
    return ItemRow(item, tuple(Score.ok(metric, value) for metric, value in scores.items()))


counts = st.integers(0, 4)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(counts, counts), min_size=1))
def test_each_column_is_of_its_form(models: dict[str, tuple[int, int]]) -> None:
    rows = [
        row(model, n, face, id_similarity=0.9 if face else 0.1, motion_smoothness=0.8 if face else 0.2)
        for model, both in models.items()
        for face, many in zip((False, True), both, strict=True)
        for n in range(many)
    ]
    samples = samples_of_forms(rows, (), COLUMNS)
    assert set(samples.models) == {model for model, both in models.items() if any(both)}
    for model in samples.models:
        plain, face = models[model]
        for metric, many, value in (("id_similarity", face, 0.9), ("motion_smoothness", plain, 0.2)):
            sample = samples.get(model, metric)
            assert sample is not None
            assert sample.values == (value,) * many
            assert sample.n_total == (many or plain + face)
            assert (LABEL in sample.labels) == (metric == "id_similarity" and many > 0)
            if not many:
                assert "no clip of" in sample.gaps[0].reason and "--prompt-form" in sample.gaps[0].remedy
        assert len(samples.rows_of(model)) == plain + face


def test_set_statistics_are_of_the_plain_form() -> None:
    rows = [row("a", 0, False, id_similarity=0.1), row("a", 0, True, id_similarity=0.9)]
    sets = [SetRow(name, 1, (Score.ok("inception_score", value),)) for name, value in (("a", 2.0), ("a-face", 3.0))]
    sample = samples_of_forms(rows, sets, COLUMNS).get("a", "inception_score")
    assert sample is not None and sample.values == (2.0,)


def test_without_columns_nothing_is_joined() -> None:
    rows = [row("a", 0, False, id_similarity=0.1), row("a", 0, True, id_similarity=0.9)]
    assert samples_of_forms(rows, (), ()) == take_samples(rows)
    assert samples_of_forms(rows, (), ()).models == ("a", "a-face")


def test_a_column_brings_its_companions() -> None:
    assert {"id_similarity", "id_margin", "id_group_rank1"} <= families(["id_similarity"])
    assert families([]) == frozenset()
    with pytest.raises(MMBenchError, match="no_such"):
        families(["no_such"])
