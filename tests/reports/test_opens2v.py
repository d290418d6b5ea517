"""A run on OpenS2V's samples in OpenS2V's own files: from prompts to videos to numbers to its total."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmbench.cli import app
from mmbench.config import EvaluateSettings, GenerateSettings
from mmbench.errors import ManifestError
from mmbench.reports.opens2v import PARTS, export_opens2v
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.items import read_manifest
from mmbench.runs.evaluate.store import RowWriter
from mmbench.runs.generate.make import generate
from mmbench.scores import Provenance, Score
from tests.testsets.imported.layouts import opens2v, sample

DRIFT = '''
import numpy as np

from mmbench.baselines.contract import Baseline, Native, Video, VideoInfo


class Drift(Baseline):
    """Noise that moves to the lower right; no weights."""

    name = "drift"
    kind = "identity"
    variants = ("default",)
    licence = "CC0"

    def native(self, variant=None):
        return Native(size=(48, 64), frames=4, fps=8, steps=1)

    def load(self, device, dtype, variant, weights_dir):
        pass

    def close(self):
        pass

    def generate(self, request):
        prompt = self.prompt_for(request)
        noise = np.random.default_rng(request.seed).integers(0, 255, (8, 10, 3), dtype=np.uint8)
        picture = noise.repeat(8, 0).repeat(8, 1)
        frames = np.stack([picture[8 - k : 56 - k, 8 - k : 72 - k] for k in range(4)])
        return Video(frames, 8.0, VideoInfo(request.seed, 0.01, None, prompt, False, {"steps": 1}))
'''
SAMPLES = {
    "singlehuman_1": sample("Images/h/1.png", 'A man, "Bob", waves.\n\nHe smiles.'),
    "singlehuman_2": sample("Images/h/1.png", "A boy runs."),
    "singleface_1": sample("Images/f/1.png", "The caf\u00e9's owner, a woman, sits.", "Woman"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return opens2v(tmp_path / "OpenS2V-Eval", SAMPLES)


def others(folder: Path, **values: Any) -> None:
    """Files as OpenS2V's own scripts leave them."""
    keys = {"motion_smoothness": "motion_smoothness", "gmescore": "gme_score", "aesthetic_score": "aes_score"}
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        document = {one: {keys[name]: value} if name in keys else str(value) for one in SAMPLES}
        (folder / f"{name}.json").write_text(json.dumps(document))


@pytest.fixture
def write_run(tmp_path: Path, make_row: Any, tiny_clip: Path) -> Any:
    """A run whose clips are named after samples, each with these scores."""

    def write(names: list[str], model: str = "m", folder: str = "run", **scores: Any) -> Path:
        run = tmp_path / folder
        with RowWriter(run, f"{len(list(run.glob('rows/*'))):04d}-0") as writer:
            for name in names:
                video = tmp_path / model / f"{name}.mp4"
                video.parent.mkdir(exist_ok=True)
                video.write_bytes(tiny_clip.read_bytes())
                writer.add(make_row(model, name, None, prompt=None, video=video, **scores))
        return run

    return write


def test_from_prompts_to_their_total(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "drifting.py").write_text(DRIFT)
    monkeypatch.syspath_prepend(code)
    sys.modules.pop("drifting", None)
    made = generate(GenerateSettings.filled(models=("drifting:Drift",)), copy, tmp_path / "videos")
    assert (made.made, made.failed) == (3, ())
    evaluate(read_manifest(made.manifest), tmp_path / "run", EvaluateSettings(metrics=("motion_amplitude",)))
    out = tmp_path / "export"
    first = export_opens2v(tmp_path / "run", out, testset=copy)
    assert (first.model, first.samples, first.measured, first.total) == ("drift", 3, 3, None)
    assert sorted(path.stem for path in (out / "drift_input_video").iterdir()) == sorted(SAMPLES)
    folder = out / "drift_output_json"
    moved = json.loads((folder / "motion_amplitude.json").read_text())
    assert moved.keys() == SAMPLES.keys() and all(one["motion_fb"] > 0 for one in moved.values())
    assert len(first.lacking) == 5 and not (out / "drift_Human-Domain.json").exists()
    others(folder, motion_smoothness=0.9, gmescore=0.5, aesthetic_score=5.5, naturalscore_1=3, naturalscore_2=4)
    (folder / "facesim.json").write_text(json.dumps({one: {"cur_score": 0.4} for one in SAMPLES}))
    command = ["testset", "export", str(tmp_path / "run"), "--out", str(out), "--testset", str(copy)]
    shown = CliRunner().invoke(app, command, catch_exceptions=False)
    assert shown.exit_code == 0 and "total (Human-Domain)" in shown.output
    total = json.loads((out / "drift_Human-Domain.json").read_text())
    amplitude = sum(min(1, one["motion_fb"]) for one in moved.values()) / 3
    expected = 0.18 * 0.5 + 0.09 * 0.9 + 0.03 * amplitude + 0.25 * 0.4 + 0.15 * 0.5 + 0.30 * (3.5 - 1) / 4
    assert total["total_score"] == pytest.approx(expected)
    assert total.keys() == {"total_score", *(part.name for part in PARTS)}
    columns = json.loads((out / "drift_export.json").read_text())["columns"]
    assert columns["motion_amplitude"]["made_by"]["backend"]


@pytest.mark.parametrize("seed", range(6))
def test_the_total_is_between_0_and_1_and_each_part_is_cut(write_run, copy, tmp_path, seed):
    rng = random.Random(seed)
    scores = {part.column: rng.uniform(-2, 9) for part in PARTS if part.column}
    run = write_run(list(SAMPLES), **scores, facesim_arc_opens2v=0.5)
    others(tmp_path / "out/m_output_json", motion_smoothness=rng.uniform(-1, 2), gmescore=rng.uniform(-1, 2))
    others(tmp_path / "out/m_output_json", naturalscore_3=rng.uniform(0, 6))
    made = export_opens2v(run, tmp_path / "out", testset=copy)
    assert made.total is not None and 0 <= made.total <= 1 and not made.lacking
    held = json.loads((tmp_path / "out/m_output_json/facesim.json").read_text())
    assert held["singleface_1"] == {"cur_score": scores["facesim_cur_opens2v"], "arc_score": 0.5}


def test_what_lacks_is_never_counted_as_0(write_run, copy, tmp_path):
    missing = Score.missing("facesim_cur_opens2v", "no face")
    run = write_run(["singleface_1", "singlehuman_2"], facesim_cur_opens2v=missing, aesthetic=5.0)
    made = export_opens2v(run, tmp_path / "out", testset=copy, videos=False)
    assert made.parts["facesim_cur"] == 0 and made.parts["aes_score"] == 2 and made.total is None
    assert not (tmp_path / "out/m_output_json/facesim.json").exists()
    assert not (tmp_path / "out/m_input_video").exists()
    assert any("1 samples have no video" in line for line in made.lacking)
    assert any("get_facesim.py" in line and "facesim_cur_opens2v" in line for line in made.lacking)


def test_untrained_numbers_are_left_out_and_never_make_a_total(write_run, copy, tmp_path):
    untrained = Score.ok("aesthetic", 5.0, Provenance("clip", random_weights=True))
    run = write_run(list(SAMPLES), aesthetic=untrained, motion_amplitude=0.1, facesim_cur_opens2v=0.5)
    folder = tmp_path / "out/m_output_json"
    others(folder, motion_smoothness=0.9, gmescore=0.5, naturalscore_1=3)
    shown = export_opens2v(run, tmp_path / "out", testset=copy, random_weights=True)
    assert shown.parts["aes_score"] == 3 and shown.total is None and "untrained" in shown.lacking[0]
    hidden = export_opens2v(run, tmp_path / "out", testset=copy)
    assert hidden.parts["aes_score"] == 0 and not (folder / "aesthetic_score.json").exists()
    assert (folder / "gmescore.json").exists()


def test_clips_of_something_else_are_refused(write_run, copy, tmp_path, make_row, tiny_clip):
    run = write_run(["singleface_1", "singleface_99"], motion_amplitude=1.0)
    with pytest.raises(ManifestError, match="is of no sample"):
        export_opens2v(run, tmp_path / "out", testset=copy)
    run = write_run(["singleface_1"], folder="second", motion_amplitude=1.0)
    with RowWriter(run, "0009-0") as writer:
        writer.add(make_row("m", "singleface_1", 0, prompt=None, video=tiny_clip, motion_amplitude=1.0))
    with pytest.raises(ManifestError, match="both are singleface_1"):
        export_opens2v(run, tmp_path / "out", testset=copy)
    with RowWriter(tmp_path / "third", "0000-0") as writer:
        writer.add(make_row("m", "singleface_1", 0, prompt="A dog runs.", video=tiny_clip, motion_amplitude=1.0))
    with pytest.raises(ManifestError, match="another prompt"):
        export_opens2v(tmp_path / "third", tmp_path / "out", testset=copy)


def test_one_model_at_a_time_and_only_of_this_set(write_run, copy, tmp_path):
    write_run(["singleface_1"], motion_amplitude=1.0)
    run = write_run(["singleface_1"], model="n", motion_amplitude=2.0)
    with pytest.raises(ManifestError, match="models m, n"):
        export_opens2v(run, tmp_path / "out", testset=copy)
    with pytest.raises(ManifestError, match="no model x"):
        export_opens2v(run, tmp_path / "out", model="x", testset=copy)
    assert export_opens2v(run, tmp_path / "out", model="n", testset=copy).measured == 1
    with pytest.raises(ManifestError, match="not opens2v-human"):
        export_opens2v(run, tmp_path / "out", model="n", testset="synthetic50")


@pytest.mark.parametrize(
    "document", ["[]", "{", '{"singleface_1": {"gme_score": "high"}}', '{"singleface_1": {"gme_score": NaN}}']
)
def test_a_damaged_file_beside_ours_is_named(write_run, copy, tmp_path, document):
    run = write_run(["singleface_1"], motion_amplitude=1.0)
    folder = tmp_path / "out/m_output_json"
    folder.mkdir(parents=True)
    (folder / "gmescore.json").write_text(document)
    with pytest.raises(ManifestError, match=r"gmescore\.json"):
        export_opens2v(run, tmp_path / "out", testset=copy)
