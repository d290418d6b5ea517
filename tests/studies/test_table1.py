"""The settings that regenerate Table 1: complete, and one command from weights to page (here on tiny weights)."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import mmbench.testsets
from mmbench.baselines.registry import create
from mmbench.config import EvaluateSettings, GenerateSettings, RunSettings
from mmbench.errors import MissingWeights
from mmbench.metrics.registry import facts_by_name
from mmbench.reports.table.published import published_tables
from mmbench.runs.generate.plan import file_name, label_of
from mmbench.studies.whole_run import generated_videos, run_all

SETTINGS = Path(mmbench.testsets.__path__[0]) / "pubfig50" / "leaderboard.yaml"


def tiny(models: tuple[str, ...], testset: str = "synthetic50") -> RunSettings:
    """The file's settings on tiny weights, one person, and metrics that need none."""
    whole = RunSettings.from_yaml(SETTINGS)
    each = {}
    for name in models:
        own = {key: value for key, value in whole.generate.each.get(name, {}).items() if key != "size"}
        each[name] = {**own, "variant": create(name).tiny_variants[-1 if name == "magic_mirror" else 0]}
    generate = GenerateSettings(models=models, each=each, limit=1, first_frame_variant="tiny")
    report = whole.report.model_copy(
        update={"metrics": ("motion_smoothness", "id_similarity"), "random_weights": "show"}
    )
    evaluate = EvaluateSettings(metrics=("motion_smoothness", "id_similarity"), flow={"backend": "dis"})  # type: ignore[arg-type]
    return RunSettings(testset=testset, generate=generate, evaluate=evaluate, report=report)


def test_it_names_the_paper_s_models_and_columns() -> None:
    whole = RunSettings.from_yaml(SETTINGS)
    names = {
        label_of(whole.generate.for_model(name), create(name), create(name).variants[0])
        for name in whole.generate.models
    }
    for table in ("table1_v1", "table1_v2"):
        rows = {file_name(row.model.replace(" ", "-")) for row in published_tables()[table].rows}
        assert rows <= names
        columns = {column.metric for column in published_tables()[table].columns} & set(facts_by_name())
        assert columns - {"fm_inter_face"} <= set(whole.report.metrics)
    assert set(whole.report.face_form) <= set(whole.report.metrics)
    for name in whole.generate.models:
        size = whole.generate.for_model(name).size
        create(name).check_shape(
            size or create(name).native().size, create(name).native().frames, create(name).variants[0]
        )


def test_both_forms_stand_in_one_row(tmp_path: Path) -> None:
    settings = tiny(("cogvideox",))
    report = settings.report.model_copy(update={"face_form": ("motion_smoothness",)})  # it needs no face to be there
    done = run_all(settings.model_copy(update={"report": report}), tmp_path, tmp_path / "run")
    assert [run.label for run in done.generated] == ["CogVideoX-5B", "CogVideoX-5B-face"]
    assert [row.model for row in done.report.table.rows] == ["CogVideoX-5B"]
    cells = dict(zip([c.facts.name for c in done.report.table.columns], done.report.table.rows[0].cells, strict=True))
    assert "face-enhanced prompts" in cells["motion_smoothness"].label and cells["motion_smoothness"].n == 1
    with done.report.clips.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 and {row["model"] for row in rows} == {"CogVideoX-5B"}


def test_a_model_without_weights_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    settings = tiny(("cogvideox", "consisid"))
    each = {**settings.generate.each, "consisid": {}}
    settings = settings.model_copy(update={"generate": settings.generate.model_copy(update={"each": each})})
    made, lacking = generated_videos(settings, tmp_path / "run", None)
    assert [run.label for run in made] == ["CogVideoX-5B", "CogVideoX-5B-face"]
    assert len(lacking) == 1 and "onsisid" in lacking[0].message.lower()
    nobody = settings.model_copy(update={"generate": settings.generate.model_copy(update={"models": ("consisid",)})})
    with pytest.raises(MissingWeights):
        generated_videos(nobody, tmp_path / "other", None)


@pytest.mark.slow
def test_all_of_table_1_on_tiny_weights(tmp_path: Path) -> None:
    whole = RunSettings.from_yaml(SETTINGS)
    done = run_all(tiny(whole.generate.models), tmp_path, tmp_path / "run")
    assert not done.lacking and not any(run.failed for run in done.generated)
    assert len(done.generated) == 2 * len(whole.generate.models)
    assert {row.model for row in done.report.table.rows} == {
        whole.generate.each[name]["label"] for name in whole.generate.models
    }
    assert {row.model for row in done.report.table.published} >= {"Magic Mirror", "ConsisID"}
