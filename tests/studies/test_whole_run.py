"""`mmbench run settings.yaml`: two toy models make videos of a small set, which are measured and reported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.config import RunSettings
from mmbench.errors import ManifestError, RequestError
from mmbench.studies.whole_run import WholeRun, generated_videos, run_all

MODELS = """
from dataclasses import dataclass

import numpy as np

from mmbench.baselines.contract import Baseline, Native, Options, Video, VideoInfo, option


@dataclass(frozen=True)
class MovingOptions(Options):
    faster: int = option(0, "added to the speed", 0, 9)


class Moving(Baseline):
    name = "moving"
    kind = "identity"
    speed = 9
    options_type = MovingOptions

    def native(self, variant=None):
        return Native(size=(64, 96), frames=9, fps=8)

    def load(self, device, dtype, variant, weights_dir):
        pass

    def generate(self, request):
        if "dances" in request.prompt and self.speed == 0:
            raise RuntimeError("I do not dance")
        texture = np.random.default_rng(request.seed).integers(0, 255, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        speed = self.speed + self.resolve_options(request.options)["faster"]
        frames = np.stack([np.roll(texture, speed * t, axis=1) for t in range(9)])
        return Video(frames, 8.0, VideoInfo(request.seed, 0.0, None, request.prompt, False))


class Still(Moving):
    name = "still"
    speed = 0
"""

SETTINGS = """
testset: {testset}
generate: {{models: ["journey_models:Moving", "journey_models:Still"]}}
evaluate: {{metrics: [dynamic_degree], flow: {{backend: dis}}}}
report: {{title: Toys}}
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    code = tmp_path / "code"
    code.mkdir()
    (code / "journey_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(code))
    testset = tmp_path / "set"
    (testset / "references").mkdir(parents=True)
    people, lines = [], ["identity,prompt_index,prompt,prompt_long"]
    for number in range(3):
        name = f"man_{number:02d}"
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(testset / "references" / f"{name}.png")
        people.append({"id": name, "group": "man", "class_word": "man", "references": [f"references/{name}.png"]})
        lines += [f"{name},0,a man img waves,a man img waves slowly", f"{name},1,a man img dances,a man img dances"]
    (testset / "identities.json").write_text(json.dumps({"name": "toys", "identities": people}))
    (testset / "prompts.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "settings.yaml"
    path.write_text(SETTINGS.format(testset=testset))
    yield path
    sys.modules.pop("journey_models", None)


def test_generate_evaluate_report_and_again(settings: Path, tmp_path: Path) -> None:
    def go() -> WholeRun:
        return run_all(RunSettings.from_yaml(settings), settings.parent, tmp_path / "out")

    done = go()
    rows = {row.item.id: row.score("dynamic_degree") for row in done.evaluation.rows}
    assert len(rows) == 12
    lost = [row.error.message for row in done.evaluation.failed if row.error]
    assert len(lost) == 3  # three requests of `still` failed: rows with their reason
    assert all("I do not dance" in message for message in lost)
    assert [len(run.failed) for run in done.generated] == [0, 3]
    assert not done.complete
    table = done.report.table
    means = {row.model: row.cells[0].mean for row in table.rows}
    counts = {row.model: (row.cells[0].n, row.cells[0].n_total) for row in table.rows}
    assert counts == {"moving": (6, 6), "still": (3, 6)}
    assert means["moving"] == 1.0
    assert means["still"] == 0.0
    assert done.report.page.is_file()

    again = go()
    assert again.evaluation.measured_now == 0
    assert [run.made for run in again.generated] == [0, 0]


def test_a_settings_file_reaches_a_models_own_options(settings: Path, tmp_path: Path) -> None:
    text = settings.read_text().replace(
        "generate: {",
        "generate: {limit: 1, options: {faster: 2}, each: {'journey_models:Still': {options: {faster: 5}}}, ",
    )
    settings.write_text(text)
    runs, lacking = generated_videos(RunSettings.from_yaml(settings), tmp_path / "out", None)
    assert not lacking
    found = [json.loads(next((run.folder / "videos").glob("*.json")).read_text())["options"] for run in runs]
    assert found == [{"faster": 2}, {"faster": 5}]
    settings.write_text(text.replace("faster: 2", "slower: 2"))
    with pytest.raises(RequestError, match="moving has no option 'slower'") as error:
        generated_videos(RunSettings.from_yaml(settings), tmp_path / "other", None)
    assert "faster" in error.value.remedy


def test_settings_without_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="name no videos"):
        run_all(RunSettings(), tmp_path, tmp_path / "out")
    with pytest.raises(ManifestError, match="no test set"):
        run_all(RunSettings.model_validate({"generate": {"models": ["x"]}}), tmp_path, tmp_path / "out")


@pytest.mark.parametrize("where", ["settings", "call"])
def test_strict_measures_nothing_where_something_was_passed_over(tmp_path: Path, where: str) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "m.csv").write_text("model,video,prompt\nm,a.mp4,waves\nM,a.mp4,waves\n")
    settings = RunSettings.model_validate({"manifest": "m.csv", "strict": where == "settings"})
    with pytest.raises(ManifestError, match="Refused, as strict asks"):
        run_all(settings, tmp_path, tmp_path / "out", strict=where == "call")
    assert not (tmp_path / "out").exists()
