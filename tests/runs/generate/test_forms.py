"""Videos of face-enhanced prompts: the text that models are given, rows that say so, a folder and a name apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.config import GenerateSettings
from mmbench.errors import ManifestError
from mmbench.runs.generate.make import generate
from mmbench.runs.inputs.manifest import collect_manifest
from mmbench.testsets.load import load_testset
from mmbench.trigger import without_trigger


def test_a_run_of_the_face_s_form(tmp_path: Path) -> None:
    shared = {"models": ("cogvideox",), "variant": "tiny", "limit": 1}
    plain, face = (
        generate(GenerateSettings(**shared, prompt_kind=kind), "synthetic50", tmp_path / str(kind))  # type: ignore[arg-type]
        for kind in (None, "face")
    )
    assert face.label == f"{plain.label}-face"
    (one,), (other,) = (collect_manifest(run.manifest).items for run in (plain, face))
    assert (one.extra.get("prompt_form"), other.extra.get("prompt_form")) == (None, "face")
    assert (one.prompt, one.prompt_long, one.seed, one.prompt_index) == (
        other.prompt,
        other.prompt_long,
        other.seed,
        other.prompt_index,
    ), "pairs and text alignment are of the plain prompt"
    prompt = load_testset("synthetic50").identities[0].prompts[0]
    record = next((tmp_path / "face" / "videos").glob("*.json")).read_text(encoding="utf-8")
    assert without_trigger(prompt.face)[:60] in record and '"prompt_kind": "face"' in record
    with pytest.raises(ManifestError):
        generate(GenerateSettings(**shared), "synthetic50", tmp_path / "face")  # type: ignore[arg-type]
