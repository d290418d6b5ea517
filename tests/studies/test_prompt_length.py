"""Short against long prompts: the same first frames and seeds, another prompt, and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.config import GenerateSettings
from mmbench.errors import RequestError
from mmbench.runs.evaluate.items import read_manifest
from mmbench.studies.prompt_length import FIGURE_PROMPTS, ablate_prompt_length

TOY = """
import numpy as np
from PIL import Image
from mmbench.baselines.contract import Baseline, FirstFrame, Native, Video, VideoInfo

class I2V(Baseline):
    name = "i2v"
    kind = "i2v"
    default_prompt_kind = "short"

    def native(self, variant=None):
        return Native(size=(32, 48), frames=2, fps=8)

    def load(self, device, dtype, variant, weights_dir):
        pass

    def generate(self, request):
        prompt = self.prompt_for(request)
        frames = np.stack([np.asarray(request.first_frame)] * 2)
        frames[1] += np.uint8(len(prompt))
        return Video(frames, 8.0, VideoInfo(request.seed, 0.0, None, prompt, False))

class T2V(I2V):
    name = "t2v"
    kind = "t2v"

class Opening(FirstFrame):
    name = "opening"
    made = 0

    def load(self, device, dtype, variant, weights_dir):
        pass

    def make(self, prompt, references, size, seed, negative=None):
        type(self).made += 1
        noise = np.random.default_rng(seed).integers(0, 200, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        return Image.fromarray(noise.repeat(8, 0).repeat(8, 1))
"""


@pytest.fixture
def testset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    code = tmp_path / "code"
    code.mkdir()
    (code / "length_toys.py").write_text(TOY)
    monkeypatch.syspath_prepend(code)
    sys.modules.pop("length_toys", None)
    folder = tmp_path / "set"
    folder.mkdir()
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(folder / "ann.png")
    row = {"id": "ann", "group": "woman", "class_word": "woman", "references": ["ann.png"]}
    (folder / "identities.json").write_text(json.dumps({"name": "one", "identities": [row]}))
    lines = [f"ann,{i},human:{n},a woman img plays,A woman img plays for long" for i, n in enumerate((29, 30, 75))]
    (folder / "prompts.csv").write_text("\n".join(["identity,prompt_index,prompt_id,prompt,prompt_long", *lines]))
    return folder


def settings(model: str = "length_toys:I2V", **changes: object) -> GenerateSettings:
    return GenerateSettings.filled(models=(model,), first_frame="length_toys:Opening", **changes)


def test_only_the_prompt_differs(testset, tmp_path):
    out = tmp_path / "out"
    done = ablate_prompt_length(settings(prompts=FIGURE_PROMPTS), testset, out)
    assert done.pairs == (("i2v-short", "i2v-long"),)
    items = read_manifest(done.manifest)
    assert [item.id for item in items] == [f"i2v-{kind}/ann_{i}" for kind in ("short", "long") for i in ("00", "02")]
    short, long = items[:2], items[2:]
    for one, other in zip(short, long, strict=True):
        assert one.condition == other.condition
        assert one.condition is not None
        assert one.condition.is_file()
        assert (one.seed, one.prompt, one.prompt_long) == (other.seed, other.prompt, other.prompt_long)
        records = [json.loads(item.video.with_suffix(".json").read_text()) for item in (one, other)]
        assert [record["prompt_used"] for record in records] == ["a woman plays", "A woman plays for long"]
        assert records[0]["first_frame"] == records[1]["first_frame"]
        assert one.video.read_bytes() != other.video.read_bytes()
        assert all(path.is_file() for path in (*one.references, *other.references))
    assert sys.modules["length_toys"].Opening.made == 2, "first frames are made once"


def test_models_of_one_size_share_first_frames_and_a_rerun_makes_nothing(testset, tmp_path):
    out = tmp_path / "out"
    first = ablate_prompt_length(settings(), testset, out)
    assert [run.made for run in first.runs] == [3, 3]
    again = ablate_prompt_length(settings(), testset, out)
    assert [run.made for run in again.runs] == [0, 0]
    assert sys.modules["length_toys"].Opening.made == 3


def test_other_kinds_of_model_are_refused(testset, tmp_path):
    with pytest.raises(RequestError, match="no image-to-video model"):
        ablate_prompt_length(settings("length_toys:T2V"), testset, tmp_path / "out")


def test_unknown_prompt_is_refused(testset, tmp_path):
    with pytest.raises(RequestError, match="human:1"):
        ablate_prompt_length(settings(prompts=("human:1",)), testset, tmp_path / "out")


def test_command_measures_and_compares(testset, tmp_path):
    from typer.testing import CliRunner

    from mmbench.cli.ablate import app

    out = tmp_path / "out"
    call = ["prompt-length", "--model", "length_toys:I2V", "--testset", str(testset), "--out", str(out)]
    call += ["--first-frame", "length_toys:Opening", "--device", "cpu", "--workers", "1"]
    result = CliRunner().invoke(app, [*call, "--no-measure"])
    assert result.exit_code == 0, result.output
    assert "i2v-long: 3 videos made" in result.output
    evaluation = tmp_path / "evaluation.yaml"
    evaluation.write_text("metrics: [motion_smoothness, dynamic_degree]\nflow: {backend: dis}\n")
    result = CliRunner().invoke(app, [*call, "--settings", str(evaluation)])
    assert result.exit_code == 0, result.output
    assert "6 of 6 clips measured" in result.output
    assert "i2v-short against i2v-long" in result.output
