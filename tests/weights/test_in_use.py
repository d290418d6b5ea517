"""What the networks' provenance, the doctor and the remedies say of weight files, as those who use them see it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmbench.config import EvaluateSettings
from mmbench.encode.viclip.alignment import REGISTERED, make_viclip
from mmbench.errors import MissingWeights
from mmbench.files import sha256_file
from mmbench.flow.raft.weights import load_raft, random_raft
from mmbench.runs.doctor import examine
from mmbench.weights.cache import set_user_path
from mmbench.weights.checked import checked
from mmbench.weights.locate import locate
from mmbench.weights.registry import expand, find

RAFT_ONLY = EvaluateSettings(metrics=("dynamic_degree",))


def test_flow_made_with_an_own_file_says_so(tmp_path: Path):
    own = tmp_path / "my.pth"
    torch.save(random_raft("large").state_dict(), own)
    set_user_path(find("raft-things"), own)
    assert load_raft()[1].weights == {"raft-things (own file my.pth)": sha256_file(own)}


def test_face_made_with_an_own_file_says_so(tmp_path: Path):
    own = tmp_path / "my.dat"
    own.write_bytes(b"mine")
    set_user_path(find("dlib-landmarks-5"), own)
    digests: dict[str, str] = {}
    assert checked("dlib-landmarks-5", digests) == str(own)
    assert digests == {"shape_predictor_5_face_landmarks.dat (own file my.dat)": sha256_file(own)}


def test_copy_of_the_registered_file_keeps_its_name(tmp_path: Path):
    package = locate("dlib-landmarks-5")
    if package is None:
        pytest.skip("face_recognition_models is not installed")
    own = tmp_path / "my.dat"
    own.write_bytes(package.read_bytes())
    set_user_path(find("dlib-landmarks-5"), own)
    digests: dict[str, str] = {}
    assert checked("dlib-landmarks-5", digests) == str(own)
    assert list(digests) == ["shape_predictor_5_face_landmarks.dat"]


def test_doctor_reports_an_own_file_that_is_gone_and_goes_on(tmp_path: Path):
    own = tmp_path / "my.pth"
    own.write_bytes(b"mine")
    set_user_path(find("raft-things"), own)
    own.unlink()
    found = {finding.name: finding for finding in examine(RAFT_ONLY)}
    for name in ("raft-things", "dynamic_degree"):
        assert found[name].state == "missing"
        assert f"Own file missing: {own}" in found[name].text
        assert "--forget" in found[name].text
    assert found["viclip"].text == "mmbench weights get viclip"


def test_text_alignment_asks_for_the_file_that_its_group_gets():
    with pytest.raises(MissingWeights, match=r"mmbench weights get viclip\.") as caught:
        make_viclip()
    assert "viclip-safetensors would do as well" in caught.value.message
    assert [entry.name for entry in expand(["text_alignment"])] == [REGISTERED[0]]
