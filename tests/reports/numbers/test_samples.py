"""Samples: a network that measures and conditioned is told beside the number, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmbench.baselines.registry import create, installed
from mmbench.items import Item
from mmbench.reports.numbers.samples import take_samples
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.runs.inputs.manifest import collect_manifest, write_manifest
from mmbench.scores import Provenance, Score
from mmbench.weights import registry

ARCFACE = "buffalo-l-w600k-r50"


def row(number: int, conditioned_on: tuple[str, ...], network: str = ARCFACE) -> ItemRow:
    item = Item(str(number), "m", f"p{number}", Path("v.mp4"), conditioned_on=conditioned_on)
    return ItemRow(item, (Score.ok("id_similarity_arcface", 0.5, Provenance("insightface", {network: "0" * 64})),))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row(0, (ARCFACE,)), row(1, ()), row(2, ("x", ARCFACE))], "2 of 3 clips"),
        ([row(0, ()), row(1, ("x",))], None),
        ([row(0, (ARCFACE,), "dlib-recogniser")], None),
    ],
)
def test_the_same_network_on_both_sides_is_told(rows: list[ItemRow], told: str | None) -> None:
    sample = take_samples(rows).get("m", "id_similarity_arcface")
    assert sample is not None
    assert [remark.split(":")[0] for remark in sample.remarks] == ([told] if told else [])


def test_rows_and_manifests_keep_it(tmp_path: Path) -> None:
    kept = row(0, (ARCFACE, "other"))
    assert ItemRow.from_json(kept.to_json()).item == kept.item
    item = replace(kept.item, video=tmp_path / "v.mp4", prompt_index=0)
    write_manifest(tmp_path / "m.csv", [item])
    assert collect_manifest(tmp_path / "m.csv").items[0].conditioned_on == (ARCFACE, "other")


def test_what_generators_declare_is_in_the_registry() -> None:
    declared = {}
    for name in installed():
        model = create(name)
        for variant in model.variants:
            declared[name, variant] = model.recognisers(variant)
            assert set(model.recognisers(variant)) <= set(registry())
        assert not any(model.recognisers(variant) for variant in model.tiny_variants)
    assert declared["magic_mirror", "5b"] == (ARCFACE,)
    assert declared["magic_mirror", "nano-trained"] == ()
    assert declared["consisid", create("consisid").variants[0]] == ("consisid-glintr100",)


def test_other_tables_are_as_they_were(make_row: Callable[..., ItemRow]) -> None:
    sample = take_samples([make_row("m", "p", id_similarity=0.5)]).get("m", "id_similarity")
    assert sample is not None and sample.remarks == ()
