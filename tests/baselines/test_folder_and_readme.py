"""A user's folder of videos, and the README's example of a user's own model, extracted and run."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmbench.baselines.contract import Request
from mmbench.baselines.folder import Folder, slug
from mmbench.baselines.registry import create
from mmbench.baselines.session import Session
from mmbench.errors import MediaError, RequestError

README = Path(__file__).resolve().parents[2] / "baselines" / "README.md"


def write_video(path: Path, shade: int, frames: int = 5) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=8, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 16, "rgb24"
        for index in range(frames):
            picture = np.full((16, 32, 3), shade + index, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def test_a_folder_answers_by_prompt_and_seed(tmp_path: Path, request_for: Callable[..., Request]) -> None:
    write_video(tmp_path / "a_young_woman_smiles.mp4", 50)
    write_video(tmp_path / "A_Young_Woman_Smiles-4.mp4", 90)
    model = create(f"folder:{tmp_path}")
    assert isinstance(model, Folder)
    with Session(tmp_path) as session:
        session.load(model)
        video = model.generate(request_for())
        assert video.frames[:, 0, 0, 0].tolist() == [50, 51, 52, 53, 54]
        assert video.fps == 8
        assert video.info.settings == {"file": "a_young_woman_smiles.mp4"}
        assert model.generate(request_for(seed=4)).frames[0, 0, 0, 0] == 90
        with pytest.raises(RequestError, match="a_man_frowns-3"):
            model.check(request_for(short_prompt="A man frowns!", prompt=""))


def test_a_folder_without_videos_or_with_a_broken_one(tmp_path: Path, request_for: Callable[..., Request]) -> None:
    with pytest.raises(RequestError, match="no videos"):
        Folder(tmp_path / "nowhere").check(request_for())
    (tmp_path / "a_young_woman_smiles.mp4").write_bytes(b"not a video")
    with pytest.raises(MediaError, match="no video of a known kind"):
        Folder(tmp_path).generate(request_for())


def test_names_of_files() -> None:
    assert slug("A woman img -- smiles!") == "a_woman_smiles"
    assert len(slug("word " * 100)) == 120


def test_the_readmes_own_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_for: Callable[..., Request]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    (example,) = [block for block in blocks if "class StillFace(" in block]
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 16
    (tmp_path / "readme_model.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    model = create("readme_model:StillFace")
    request = request_for()
    model.check(request)
    with Session(tmp_path) as session:
        video = session.load(model).generate(request)
    assert video.frames.shape == (49, 480, 720, 3)
    assert np.array_equal(video.frames[0], np.asarray(request.references[0].resize((720, 480))))
    with pytest.raises(RequestError):
        model.check(request_for(references=()))
    with pytest.raises(RequestError):
        model.check(request_for(size=(100, 100)))
    sys.modules.pop("readme_model")
