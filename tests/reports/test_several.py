"""Several runs in one table: models of one name are told apart, nothing is mixed, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.config import EvaluateSettings
from mmbench.errors import ManifestError
from mmbench.items import Item
from mmbench.reports.build import build_report
from mmbench.reports.several import read_runs
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.video.write import write_video


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of three clips: a model of one name in both, another in the second."""
    import numpy as np

    folder = tmp_path_factory.mktemp("several")
    settings = EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"})  # type: ignore[arg-type]
    made = []
    for name, models in (("first", ["ours"]), ("second", ["ours", "theirs"])):
        items = []
        for model in models:
            for k in range(3):
                path = folder / name / f"{model}{k}.mp4"
                path.parent.mkdir(exist_ok=True)
                rng = np.random.default_rng(len(name) + k)
                write_video(path, rng.integers(0, 255, (4, 64, 64, 3), dtype=np.uint8), 8.0)
                items.append(Item(f"{model}{k}", model, f"p{k}", path, prompt_index=0, seed=0))
        made.append(evaluate(items, folder / f"run-{name}", settings).run)
    return made


def test_models_of_one_name_are_told_apart(runs: list[Path]) -> None:
    held = read_runs(runs)
    assert len(held.rows) == 9
    assert {row.item.model for row in held.rows} == {"ours (run-first)", "ours (run-second)", "theirs"}
    assert len({row.item.id for row in held.rows}) == 9
    alone = read_runs(runs[:1])
    assert {row.item.model for row in alone.rows} == {"ours"}
    for row in alone.rows:
        (same,) = (one for one in held.rows if one.item.video == row.item.video)
        assert same.scores == row.scores


def test_one_table_of_both(runs: list[Path], tmp_path: Path) -> None:
    paths = build_report(runs, tmp_path / "report")
    text = paths.markdown.read_text(encoding="utf-8")
    assert all(name in text for name in ("ours (run-first)", "ours (run-second)", "theirs"))
    assert len(paths.clips.read_text(encoding="utf-8").splitlines()) == 10


def test_what_cannot_be_joined(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="named twice"):
        read_runs([runs[0], runs[0] / ".." / runs[0].name])
    with pytest.raises(ManifestError, match="no folder for their report"):
        build_report(runs)
    with pytest.raises(ManifestError):
        read_runs([runs[0], tmp_path / "nowhere"])
