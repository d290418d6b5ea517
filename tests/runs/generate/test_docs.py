"""The example of mmbench/runs/README.md runs as it is printed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mmbench.config import GenerateSettings
from mmbench.runs.generate.make import generate
from mmbench.video.read import probe

DOCS = Path(__file__).resolve().parents[3] / "mmbench" / "runs" / "README.md"


def test_own_model_example(tmp_path: Path, monkeypatch):
    code, *_ = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 16
    (tmp_path / "my_model.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("my_model", None)
    folder = tmp_path / "set"
    folder.mkdir()
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(folder / "ann.png")
    row = {"id": "ann", "group": "woman", "class_word": "woman", "references": ["ann.png"]}
    (folder / "identities.json").write_text(json.dumps({"name": "one", "identities": [row]}))
    lines = ["identity,prompt_index,prompt,prompt_long", "ann,0,a woman img waves,a woman img waves slowly"]
    (folder / "prompts.csv").write_text("\n".join(lines))
    result = generate(GenerateSettings(models=("my_model:Fade",)), folder, tmp_path / "run")
    assert (result.label, result.made, result.failed) == ("fade", 1, ())
    clip = probe(tmp_path / "run" / "videos" / "ann_00.mp4")
    assert (clip.n_frames, clip.width, clip.height) == (9, 64, 64)
