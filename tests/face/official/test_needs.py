from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from mmbench.config import EvaluateSettings
from mmbench.face.insightface import eyes as insightface_eyes
from mmbench.face.insightface.scrfd import Scrfd
from mmbench.face.needs import ARCFACE, FACES
from mmbench.face.official.cuts import COUNTS, frames_of
from mmbench.face.official.eyes import OfficialFaces
from mmbench.face.official.needs import OFFICIAL_ARC, OFFICIAL_CUR, OFFICIAL_FEATURES, SHOWN_PICTURE
from mmbench.files import silent
from mmbench.items import Item
from mmbench.video.clip import ClipInfo
from mmbench.video.need import Networks

FRAMES = 6
TINY = EvaluateSettings(random_weights=True, face={"backend": "insightface", "frames": "sampled"})
OFFICIAL = (OFFICIAL_ARC, OFFICIAL_CUR, OFFICIAL_FEATURES)


def clip() -> tuple[ClipInfo, np.ndarray]:
    coarse = np.random.default_rng(0).integers(0, 256, (FRAMES, 6, 8, 3), dtype=np.uint8)
    frames = np.kron(coarse, np.ones((1, 20, 20, 1), np.uint8))
    return ClipInfo(Path("a.mp4"), FRAMES, 160, 120, 8.0, "container", 8.0, False, "0" * 64), frames


def fed(made: Any) -> Any:
    info, frames = clip()
    made.start(info)
    for index, frame in enumerate(frames):
        made.feed(index, frame)
    return made


def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Counter[Any]:
    """How often something was called, by what it was called on (or with)."""
    seen: Counter[Any] = Counter()
    original: Callable[..., Any] = getattr(owner, name)

    def count(self: Any, *given: Any, **options: Any) -> Any:
        seen[getattr(self, "_side", "opened")] += 1
        return original(self, *given, **options)

    monkeypatch.setattr(owner, name, count)
    return seen


def test_all_face_columns_load_each_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = counting(monkeypatch, insightface_eyes, "open_session")
    networks = Networks()
    makers = {need: need.make(TINY, networks) for need in (FACES, ARCFACE, *OFFICIAL)}
    assert opened == {"opened": 2}, "SCRFD and ArcFace"
    detectors = {id(makers[need].backend.detector) for need in (FACES, ARCFACE)}
    assert detectors == {id(makers[need].eyes.detector) for need in OFFICIAL}
    assert len({makers[need].shares for need in OFFICIAL}) == 1


def test_a_frame_is_looked_at_once_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """640 px for the suite's own columns, 320 px for those whose protocols say so: never twice at one size."""
    networks = Networks()
    looked = counting(monkeypatch, Scrfd, "detect")
    own = FACES.make(TINY, networks).look([ARCFACE.make(TINY, networks)])
    first, *others = (need.make(TINY, networks) for need in OFFICIAL)
    official = first.look(others)
    fed(own.frames)
    fed(official.frames)
    own.frames.finish()
    assert len(official.results()) == len(OFFICIAL)
    wanted = set(np.concatenate([frames_of(protocol, FRAMES) for protocol in COUNTS]).tolist())
    assert looked == {640: FRAMES, 320: len(wanted)}


@pytest.mark.parametrize("need", OFFICIAL, ids=lambda need: need.name)
def test_a_network_alone_reads_what_it_reads_beside_others(need: Any) -> None:
    networks = Networks()
    maker = need.make(TINY, networks)
    alone: OfficialFaces = fed(maker.new()).finish()
    others = [other.make(TINY, networks) for other in OFFICIAL if other != need]
    look = maker.look(others)
    fed(look.frames)
    together = look.results()[0]
    np.testing.assert_array_equal(alone.frames, together.frames)
    np.testing.assert_array_equal(alone.vectors, together.vectors)
    assert alone.eyes is together.eyes is maker.eyes


def test_the_picture_shown_is_the_first_and_nothing_is_kept(tmp_path: Path) -> None:
    one, two = tmp_path / "1.png", tmp_path / "2.png"
    for number, path in enumerate((one, two)):
        path.write_bytes(bytes([number]))
    items = [
        Item("a", "m", "p", Path("a.mp4"), references=(one, two), shown=(two,)),
        Item("b", "m", "p", Path("b.mp4"), references=(one, two)),
        Item("c", "m", "p", Path("c.mp4")),
    ]
    run = tmp_path / "run"
    SHOWN_PICTURE.prepare(items, TINY, Networks(), (SHOWN_PICTURE,), run, silent)
    assert [SHOWN_PICTURE.read(items, run)(item) for item in items] == [two, one, None]
    digests = [SHOWN_PICTURE.inputs(items)(item) for item in items]
    assert len(set(digests)) == 3 and digests[2] == ""
    assert not run.exists() and SHOWN_PICTURE.store == SHOWN_PICTURE.name
