"""Every source on drawn people: each filter drops its own planted fault and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.data.build import build, counts, describe
from mmbench.data.check import check
from mmbench.data.drawn import DrawnFaces, backdrop, like, paint, vector_of
from mmbench.data.drawn_corpus import HEIGHT, WIDTH, drawn_settings, moving, person, save, save_clip
from mmbench.data.filters import cosine
from mmbench.data.ledger import Ledger
from mmbench.data.settings import DataSettings
from mmbench.data.sheet import contact_sheet
from mmbench.engine.shard import Shard
from mmbench.errors import ManifestError, RequestError
from mmbench.model.train.shards import ShardSet

Corpus = tuple[Path, Mapping[str, str]]


def fates(out: Path, source: str) -> dict[str, str]:
    """The filter that dropped each file of the source's list; "" for those that became records."""
    names = {row.key: row.origin for row in Ledger(out / source / "list.jsonl").kept()}
    found = dict.fromkeys(names.values(), "")
    for step in counts(out)[source]:
        for outcome in Ledger(out / source / f"{step.stage}.jsonl").outcomes():
            for row in outcome.dropped:
                key = "-".join(row.key.split("-")[:2])
                if row.key in names or row.key == f"{key}-0":
                    found[names[key]] = row.filter
    return found


def test_source_a_drops_each_planted_fault_by_its_own_filter(picture_corpus: Corpus, built_a: Path) -> None:
    planted, tmp_path = picture_corpus[1], built_a
    assert fates(tmp_path, "A") == planted
    assert check(tmp_path) == (2, [])
    records = ShardSet([tmp_path / "A" / "images"])
    record = records[0]
    assert (record.height, record.width, record.num_frames) == (HEIGHT, WIDTH, 1)
    assert record.caption == "a woman is smiling"
    assert len(record.word_positions) == 1
    # the face of 300 px lies in the middle of 720 x 1080, which is 3:2 already
    scale = HEIGHT / 720
    np.testing.assert_allclose(record.boxes[0], [390 * scale, 210 * scale, 690 * scale, 510 * scale], rtol=1e-5)
    reference = record.references[0]
    assert reference.picture is not None
    assert reference.box is not None
    side = reference.box[2] - reference.box[0]
    assert max(reference.picture.shape[1:]) == 448
    assert side == pytest.approx(448 / 2.2, abs=1)
    told = "\n".join(describe(counts(tmp_path)))
    assert "second_face 1" in told
    assert "5 M addresses" in told


def test_a_sheet_has_a_row_for_each_filter_that_dropped(picture_corpus: Corpus, built_a: Path) -> None:
    planted = picture_corpus[1]
    sheet = contact_sheet(built_a, each=2, side=64)
    rows = len({fault for fault in planted.values() if fault})
    assert sheet.height == 8 + rows * (64 + 14 + 8 + 14)
    # at least one example is a picture: magenta frames are on the sheet
    pixels = np.asarray(sheet)
    assert ((pixels[..., 0] > 200) & (pixels[..., 1] < 120) & (pixels[..., 2] > 150)).any()


def test_source_b_has_black_bars_and_an_uncut_reference(tmp_path: Path) -> None:
    save(tmp_path / "faces" / "x.png", person(1, (512, 512), 300))
    save(tmp_path / "faces" / "y.png", person(2, (512, 512), 300))
    (tmp_path / "who.csv").write_text("file,age,gender\nx.png,6,female\ny.png,40,male\n")
    settings = drawn_settings("B", tmp_path / "faces", attributes=tmp_path / "who.csv")
    build(settings, tmp_path / "out")
    records = ShardSet([tmp_path / "out" / "B" / "images"])
    assert [record.caption for record in (records[0], records[1])] == [
        "A squared ID photo of a girl, with pure black on two sides",
        "A squared ID photo of a man, with pure black on two sides",
    ]
    record = records[0]
    bar, scale = (WIDTH - HEIGHT) // 2, HEIGHT / 512
    np.testing.assert_allclose(record.boxes[0, [0, 2]], [bar + 106 * scale, bar + 406 * scale], rtol=1e-5)
    picture = record.references[0].picture
    assert picture is not None
    assert picture.shape == (3, 448, 448)
    assert not bool((picture == 0).all(dim=0).all(dim=0).any())  # no black column: cut before the bars were added


def test_source_c_drops_doubles_strangers_and_equal_poses(tmp_path: Path) -> None:
    one = vector_of(1)
    double = backdrop(512, 512, 2)
    paint(double, like(one, 0.8), 106, 106, 300)
    save(tmp_path / "faces" / "a.png", person(1, (512, 512)))
    save(tmp_path / "faces" / "b.png", double)
    save(tmp_path / "faces" / "c.png", person(3, (512, 512)))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a woman img is smiling\na stranger, a woman img smiling\na woman img is smiling ahead\n")
    settings = drawn_settings("C", tmp_path / "faces", prompts=prompts, pairs={"per_identity": 3})
    build(settings, tmp_path / "out")
    steps = {step.stage: step for step in counts(tmp_path / "out")["C"]}
    assert steps["identities"].dropped["duplicate"] == 1
    assert steps["pairs"].dropped["cosine"] == 2
    dropped = [row for o in Ledger(tmp_path / "out" / "C" / "pairs.jsonl").outcomes() for row in o.dropped]
    strangers = [float(row.value) for row in dropped if row.filter == "cosine"]
    np.testing.assert_allclose(strangers, 0.6, atol=0.05)  # the pattern is redrawn on a few pixels
    kept = [float(row.facts["turned"]) for row in Ledger(tmp_path / "out" / "C" / "pairs.jsonl").kept()]
    turned = sum(degrees >= 10 for degrees in kept)
    assert turned == 2
    assert 2 * turned >= len(kept)
    assert check(tmp_path / "out")[1] == []
    record = ShardSet([tmp_path / "out" / "C" / "images"])[0]
    assert record.references[0].cosine is not None
    assert record.references[0].cosine > 0.65


def test_source_d_drops_each_planted_fault_by_its_own_filter(video_corpus: Corpus, tmp_path: Path) -> None:
    folder, planted = video_corpus
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a woman img is smiling\na stranger, a woman img smiling\n")
    build(drawn_settings("D", folder, prompts=prompts), tmp_path / "out")
    found = fates(tmp_path / "out", "D")
    # one of the good clip's two references is a stranger, and goes alone
    assert {name: fault for name, fault in found.items() if name != "0-good"} == {
        name: fault for name, fault in planted.items() if name != "0-good"
    }
    steps = {step.stage: step for step in counts(tmp_path / "out")["D"]}
    assert steps["references"].dropped["cosine"] == 1
    assert check(tmp_path / "out") == (2, [])
    clip = ShardSet([tmp_path / "out" / "D" / "clips"])[0]
    image = ShardSet([tmp_path / "out" / "D" / "images"])[0]
    assert (clip.num_frames, image.num_frames) == (9, 1)
    assert clip.identity == image.identity
    assert len(clip.references) == 1
    # the person is carried on by 2 of 144 pixels a frame
    np.testing.assert_allclose(np.diff(clip.boxes[:, 0]), 2 * HEIGHT / 144, atol=1e-3)
    assert clip.latents.shape[0] == 3
    assert bool(torch.isfinite(clip.latents).all())


def test_an_own_folder_takes_the_pictures_that_are_the_person(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    save_clip(root / "videos" / "anna" / "walk", moving(1))
    save_clip(root / "videos" / "bob" / "walk", moving(2))
    (root / "videos" / "anna" / "walk.txt").write_text("a woman is walking")
    other = backdrop(200, 200, 3)
    paint(other, like(vector_of(1), 0.6), 50, 50, 100)
    save(root / "faces" / "anna" / "0.png", person(1, (200, 200), 100))
    save(root / "faces" / "anna" / "1.png", other)
    build(drawn_settings("own", root), tmp_path / "out")
    steps = {step.stage: step for step in counts(tmp_path / "out")["own"]}
    assert steps["references"].dropped["cosine"] == 1
    assert steps["references"].dropped["no_picture"] == 1
    records = ShardSet([tmp_path / "out" / "own" / "clips"])
    assert [(r.identity, r.caption, len(r.references)) for r in (records[0],)] == [("anna", "a woman is walking", 1)]
    assert check(tmp_path / "out") == (1, [])


def test_other_settings_are_refused(picture_corpus: Corpus, built_a: Path) -> None:
    with pytest.raises(ManifestError, match="other settings"):
        build(drawn_settings("A", picture_corpus[0], faces={"side": 64}), built_a)


def test_check_names_what_is_missing(built_a: Path, tmp_path: Path) -> None:
    shutil.copytree(built_a, tmp_path / "out")
    for text in (tmp_path / "out" / "texts").rglob("*.safetensors"):
        text.unlink()
    total, problems = check(tmp_path / "out")
    assert total == 2
    assert any("empty caption" in problem for problem in problems)
    assert sum("text embedding" in problem for problem in problems) == 2


def test_settings_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("source: A\ninput: urls.csv\n")
    read = DataSettings.from_yaml(path)
    assert read.input == tmp_path / "urls.csv"
    path.write_text(read.to_yaml())
    assert DataSettings.from_yaml(path) == read


def test_drawn_people_have_the_cosine_they_were_drawn_with() -> None:
    eyes, vectors = DrawnFaces(), []
    for drawn in (vector_of(1), like(vector_of(1), 0.6)):
        canvas = backdrop(400, 400, 1)
        paint(canvas, drawn, 50, 50, 300)
        face = eyes.find(canvas)[0]
        vectors.append(eyes.embed(canvas, face))
    assert cosine(*vectors) == pytest.approx(0.6, abs=0.02)  # greys are whole numbers


def test_rendered_people_need_no_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    beside = Path(__file__).resolve().parents[3] / "shared" / "facekit" / "facekit.npz"
    kit = Path(os.environ.get("MMBENCH_FACEKIT", beside))
    if not kit.is_file():
        pytest.skip(f"{kit} is not here (set MMBENCH_FACEKIT)")
    monkeypatch.setenv("MMBENCH_FACEKIT", str(kit))
    from mmbench.synth.batch import ClipJob, run_job

    for seed in (0, 1):
        job = ClipJob("woman-1000", "mixed", seed, frames=10, height=144, width=216, truth=True)
        run_job(job, tmp_path / "clips")
    bounds = {"short_side": 144, "face_side": 24, "least_flow": 0.05}
    build(drawn_settings("rendered", tmp_path / "clips", clips=bounds), tmp_path / "out")
    assert check(tmp_path / "out") == (2, [])
    record = ShardSet([tmp_path / "out" / "rendered" / "clips"])[0]
    assert (record.source, record.identity, record.caption) == (
        "rendered",
        "woman-1000",
        "a woman is in front of a wall",
    )
    with np.load(next(iter(sorted((tmp_path / "clips").glob("*.npz"))))) as known:
        truth = known["box"][:9]
    np.testing.assert_allclose(record.boxes.numpy(), truth * (HEIGHT / 144), rtol=1e-4)  # 144 x 216 is 3:2 already


def test_parts_hold_the_records_of_the_whole(tmp_path: Path, picture_corpus: Corpus) -> None:
    settings = drawn_settings("A", picture_corpus[0], faces={"side": 64})
    build(settings, tmp_path / "whole")
    for index in (2, 1, 3):
        build(settings, tmp_path / "parts", shard=Shard(index, 3))
    folders = [tmp_path / "parts" / name / "images" for name in counts(tmp_path / "parts")]
    assert [folder.parent.name for folder in folders] == ["A.1-of-3", "A.2-of-3", "A.3-of-3"]
    whole = ShardSet([tmp_path / "whole" / "A" / "images"])
    parts = ShardSet([folder for folder in folders if folder.is_dir()])
    assert sorted(parts.keys()) == sorted(whole.keys()) and len(whole) > 1
    by_key = {parts[index].key: parts[index] for index in range(len(parts))}
    for index in range(len(whole)):
        one, other = whole[index], by_key[whole[index].key]
        assert torch.equal(one.latents, other.latents) and one.caption == other.caption
    assert check(tmp_path / "parts") == (len(whole), [])


def test_people_are_not_compared_in_parts(tmp_path: Path, picture_corpus: Corpus) -> None:
    with pytest.raises(RequestError, match="C cannot be built in parts"):
        build(drawn_settings("C", picture_corpus[0]), tmp_path / "out", shard=Shard(1, 2))
