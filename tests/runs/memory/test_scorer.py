"""Clips in memory are measured as files are, to the bit; torchmetrics' view of it, alone and over two processes."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbench.config import EvaluateSettings
from mmbench.errors import MediaError, MMBenchError, RequestError
from mmbench.items import Item
from mmbench.runs.evaluate.evaluate import evaluate
from mmbench.runs.evaluate.items import read_manifest
from mmbench.runs.memory.metric import VideoMetric, _parts
from mmbench.runs.memory.scorer import ClipInput, Scorer, score
from mmbench.scores import Score
from mmbench.testsets.load import load_testset
from mmbench.video.read import open_clip

METRICS = ("dynamic_degree", "motion_smoothness", "id_similarity", "fm_ref", "fm_inter", "face_rate", "copy_gap")
DIS = EvaluateSettings(flow={"backend": "dis"})  # type: ignore[arg-type]  # pydantic reads it


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """A clip each of four bundled people."""
    every = read_manifest(load_testset("synthetic50").folder / "manifest.csv")
    return [next(i for i in every if i.model == "truth" and i.identity == f"man-0{k}") for k in range(4)]


@pytest.fixture(scope="module")
def scorer(items: list[Item]) -> Scorer:
    people = {item.identity: item.references for item in items}
    return Scorer(METRICS, DIS, people, {item.identity: item.group or "" for item in items})


def frames_of(item: Item) -> np.ndarray:
    return np.stack(list(open_clip(item.video).frames()))


def plain(found: dict[str, Score]) -> dict[str, Any]:
    """What must agree: values, reasons and details; not times and keys."""
    return {name: (one.value, one.reason, one.details, one.bank, one.notes) for name, one in found.items()}


def test_equal_to_the_file_path_to_the_last_bit(items: list[Item], scorer: Scorer, tmp_path: Path) -> None:
    settings = DIS.model_copy(update={"metrics": METRICS})
    rows = {row.item.identity: row for row in evaluate(items, tmp_path / "run", settings).rows}
    for item in items[:2]:
        wanted = plain({one.metric: one for one in rows[item.identity].scores})
        given = {"identity": item.identity, "shown": item.shown, "fps": item.fps}
        frames = frames_of(item)
        torched = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        assert plain(scorer(frames, **given)) == wanted
        assert plain(scorer(torched, **given)) == wanted
        assert plain(scorer([Image.fromarray(frame) for frame in frames], **given)) == wanted
        assert plain(scorer(item.video, **given)) == wanted
    assert wanted["id_margin"][0] is not None


def test_people_of_ones_own(items: list[Item], scorer: Scorer) -> None:
    item, other = items[0], items[1]
    with Image.open(other.references[0]) as picture:
        own = scorer(frames_of(item), references=[picture.convert("RGB")], identity="new", fps=8)
    right = scorer(frames_of(item), identity=item.identity, fps=8)
    similar = [found["id_similarity"].value for found in (own, right)]
    assert None not in similar and similar[0] < similar[1]  # type: ignore[operator]
    alone = score(frames_of(item)[:9], metrics=["face_rate", "id_similarity"], references=item.references[0], fps=8)
    assert alone["id_similarity"].value is not None
    assert alone["id_margin"].status == "missing"
    nobody = score(frames_of(item)[:9], metrics=["id_similarity", "face_rate"], fps=8)
    assert (nobody["id_similarity"].status, nobody["face_rate"].value) == ("missing", 1.0)


def test_batches_report_and_keep_their_order(items: list[Item], scorer: Scorer) -> None:
    told: list[tuple[int, int, str]] = []
    clips = [ClipInput(item.video, identity=item.identity, fps=8) for item in items[:2]]
    found = scorer.batch(clips, lambda *said: told.append(said))
    assert [plain(one) for one in found] == [plain(scorer(c.frames, identity=c.identity, fps=8)) for c in clips]
    assert told == [(1, 2, "clips"), (2, 2, "clips")]


def test_references_of_every_kind_are_the_same_pictures(items: list[Item]) -> None:
    scorer, clip = Scorer("copy_gap", DIS), frames_of(items[0])[:2]
    pixels = np.asarray(Image.open(items[0].references[0]).convert("RGB"))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    given = (items[0].references[0], Image.fromarray(pixels), pixels, pixels[None], tensor, tensor.double()[None])
    found = [scorer(clip, fps=8, references=one) for one in given]
    assert all(plain(one)["copy_gap"][:1] == plain(found[0])["copy_gap"][:1] for one in found)
    for wrong in (b"face.png", 7, [None], {"anna": "face.png"}):
        with pytest.raises(MediaError):
            scorer(clip, fps=8, references=wrong)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_leaves_the_pictures(items: list[Item]) -> None:
    scorers = [Scorer("motion_smoothness", DIS, {"anna": Image.open(items[0].references[0])})]
    folder = scorers[0]._folder
    if (child := os.fork()) == 0:
        scorers.clear()
        os._exit(0)
    os.waitpid(child, 0)
    assert list(folder.rglob("*.png"))
    scorers.clear()
    assert not folder.exists()


def test_networks_are_loaded_once(items: list[Item], scorer: Scorer) -> None:
    scorer(items[0].video, identity=items[0].identity)
    before = [gatherer._networks for gatherer in scorer._known.values()]
    scorer(items[0].video, references=items[1].references, identity="somebody else")
    after = [gatherer._networks for gatherer in scorer._known.values()]
    assert len(after) > len(before)
    assert len({id(one) for one in after}) == 1


def test_another_picture_under_the_same_name_is_looked_at(items: list[Item], tmp_path: Path) -> None:
    scorer, path = Scorer(("id_similarity",), DIS), tmp_path / "anna.png"
    found = []
    for item in items[:2]:
        with Image.open(item.references[0]) as picture:
            picture.save(path)
        found.append(scorer(items[0].video, references=path, fps=8)["id_similarity"].value)
    assert None not in found and found[0] > found[1]


def test_a_long_loop_over_people_does_not_grow(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbench.runs.memory import scorer as module

    monkeypatch.setattr(module, "KEPT", 2)
    loop = Scorer(("motion_smoothness",), DIS)
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    for number in range(5):
        picture = Image.fromarray(np.full((64, 64, 3), 10 * number, np.uint8))
        loop(frames, references=picture, identity=f"p{number}", fps=8)
    assert len(loop._known) == 2


def test_a_collection_decodes_once(items: list[Item], scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbench.runs.memory import scorer as module

    names = ("id_similarity", "id_margin", "face_rate")
    collection = torchmetrics.MetricCollection({name: VideoMetric(name, scorer) for name in names})
    seen = []
    gather = module.Gatherer.gather
    monkeypatch.setattr(module.Gatherer, "gather", lambda *a, **k: (seen.append(1), gather(*a, **k))[1])
    for item in items[:2]:
        collection.update(item.video, identity=item.identity, fps=8)
    assert len(seen) == 2
    wanted = [scorer(item.video, identity=item.identity, fps=8) for item in items[:2]]
    for name, value in collection.compute().items():
        assert float(value) == pytest.approx(np.mean([found[name].value for found in wanted]), rel=1e-12)
    figure, _ = collection["face_rate"].plot()
    assert figure is not None


def test_reset_pickle_and_clips_without_a_value(scorer: Scorer) -> None:
    metric = VideoMetric("face_rate", Scorer(("face_rate", "id_similarity")))
    metric.update(np.zeros((9, 64, 64, 3), np.uint8), fps=8)
    assert float(metric.compute()) == 0.0
    again = pickle.loads(pickle.dumps(metric))  # noqa: S301  # its own
    assert float(again.compute()) == 0.0
    again.update(np.zeros((9, 64, 64, 3), np.uint8), fps=8)
    assert len(again.values) == 2
    metric.reset()
    lacking = VideoMetric("id_similarity", Scorer(("id_similarity",)))
    lacking.update(np.zeros((9, 64, 64, 3), np.uint8), fps=8)
    assert torch.isnan(lacking.compute()) and int(lacking.missing) == 1
    with pytest.raises(RequestError, match="no metric 'fm_ref'"):
        VideoMetric("fm_ref", Scorer(("face_rate",)))


def test_sets_are_scored_in_the_order_of_their_clips() -> None:
    settings = EvaluateSettings(random_weights=True)
    scorer = Scorer(("inception_score",), settings)
    metric = VideoMetric("inception_score", scorer)
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (int(n), 32, 32, 3), dtype=np.uint8) for n in rng.integers(2, 5, 10)]
    for clip in clips:
        metric.update(clip, fps=8)
    kept = [scorer.features("inception_score", clip, fps=8) for clip in clips]
    (wanted, *_) = scorer.of_set("inception_score", kept)
    assert float(metric.compute()) == wanted.value


def test_too_few_clips_of_a_set_do_not_stop_a_loop() -> None:
    metric = VideoMetric("inception_score", Scorer(("inception_score",), EvaluateSettings(random_weights=True)))
    with pytest.warns(UserWarning, match="at least 10 clips"):
        value = metric(np.zeros((2, 32, 32, 3), np.uint8), fps=8)
    assert torch.isnan(value)


arrays = st.integers(2, 3).flatmap(
    lambda bits: st.lists(st.integers(0, 4), min_size=0, max_size=3).map(
        lambda shape: np.random.default_rng(len(shape)).normal(size=shape).astype(f"f{1 << bits}")
    )
)


@given(st.lists(arrays, max_size=5))
def test_stored_arrays_come_back_as_they_were(kept: list[np.ndarray]) -> None:
    values = torch.cat([torch.empty(0, dtype=torch.float64), *(torch.tensor(a.ravel()).double() for a in kept)])
    shapes = torch.tensor([n for a in kept for n in (a.dtype.itemsize, a.ndim, *a.shape)], dtype=torch.float64)
    found = list(_parts(values, shapes))
    assert [(a.dtype, a.shape, a.tobytes()) for a in found] == [(a.dtype, a.shape, a.tobytes()) for a in kept]


def ten_clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8) for _ in range(10)]


def part(rank: int, port: int, folder: str) -> None:
    """One of two processes: every other clip, then the value of all; then a set that it alone has clips of, or none."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    metric = VideoMetric("face_rate", Scorer(("face_rate",)))
    for number in range(rank, 3, 2):
        metric.update(Path(folder) / f"{number}.mp4", fps=8)
    Path(folder, f"{rank}.txt").write_text(repr(float(metric.compute())))
    for busy in range(2):
        metric.reset()
        sets = VideoMetric("inception_score", Scorer(("inception_score",), EvaluateSettings(random_weights=True)))
        if rank == busy:
            metric.update(Path(folder) / "0.mp4", fps=8)
            for clip in ten_clips():
                sets.update(clip, fps=8)
        values = [repr(float(one.compute())) for one in (metric, sets)]
        Path(folder, f"only-{busy}-{rank}.txt").write_text(" ".join(values))
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(items: list[Item], tmp_path: Path) -> None:
    import shutil
    import socket

    from mmbench.video.write import write_video

    alone = VideoMetric("face_rate", Scorer(("face_rate",)))
    for number in range(3):
        path = tmp_path / f"{number}.mp4"
        if number == 1:
            write_video(path, np.zeros((9, 64, 64, 3), np.uint8), 8.0)
        else:
            shutil.copyfile(items[number].video, path)
        alone.update(path, fps=8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(part, (port, str(tmp_path)), nprocs=2)
    assert {float((tmp_path / f"{rank}.txt").read_text()) for rank in range(2)} == {float(alone.compute())}
    assert float(alone.compute()) == pytest.approx(2 / 3)
    sets = VideoMetric("inception_score", Scorer(("inception_score",), EvaluateSettings(random_weights=True)))
    for clip in ten_clips():
        sets.update(clip, fps=8)
    of_one_process = {(tmp_path / f"only-{busy}-{rank}.txt").read_text() for busy in range(2) for rank in range(2)}
    assert of_one_process == {f"1.0 {float(sets.compute())!r}"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_training_loops_defaults_change_no_number(items: list[Item], dtype: torch.dtype) -> None:
    """Networks made and run under another default dtype and autocast give the numbers of a plain process."""
    chosen = EvaluateSettings(random_weights=True)
    names = ("text_alignment", "dynamic_degree", "id_similarity", "clip_score")
    given = {"references": items[0].references, "prompt": "A man smiles", "fps": 8}
    frames = frames_of(items[0])[:8]
    expected = plain(Scorer(names, chosen)(frames, **given))
    assert sum(value is not None for value, *_ in expected.values()) >= 4
    torch.set_default_dtype(dtype)
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            found = plain(Scorer(names, chosen)(frames, **given))
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    for name, (value, reason, *_) in expected.items():  # networks made anew may round otherwise; bfloat16 moves 7e-6
        assert found[name][:2] == (value if value is None else pytest.approx(value, rel=1e-6, abs=1e-6), reason)


def test_threads_get_their_own_clips_numbers() -> None:
    """One scorer, several threads, each with a clip of its own, again and again."""
    scorer = Scorer(("motion_smoothness",), DIS)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    clips = [np.stack([np.roll(picture, step**2 * speed, 1) for step in range(5)]) for speed in range(4)]
    expected = [scorer(clip, fps=8)["motion_smoothness"].value for clip in clips]
    assert len(set(expected)) > 1
    before = torch.get_default_dtype()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda clip: scorer(clip, fps=8)["motion_smoothness"].value, clips))
            assert found == expected
    assert torch.get_default_dtype() == before


def test_a_device_that_is_not_there_is_refused_whatever_is_measured() -> None:
    with pytest.raises(MMBenchError, match="cuda:99"):
        Scorer(("motion_smoothness",), EvaluateSettings(flow={"backend": "dis"}, device="cuda:99"))  # type: ignore[arg-type]


def test_a_number_of_a_set_is_told_to_be_one() -> None:
    still = np.zeros((4, 64, 64, 3), np.uint8)
    chosen = EvaluateSettings(random_weights=True)
    found = score(still, metrics=["inception_score"], settings=chosen, fps=8)
    assert found["inception_score"].status == "missing" and "many clips" in found["inception_score"].reason
    assert "of_set" in found["inception_score"].remedy


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"people": [Image.new("RGB", (9, 9))]}, "`people` is a list"),
        ({"groups": "ann"}, "`groups` is a str"),
        ({"groups": {"ann": "a"}}, "ann, who are not among"),
        ({"settings": {"device": "cpu"}}, "`settings` is a dict"),
    ],
    ids=["people", "groups", "strangers", "settings"],
)
def test_what_a_scorer_is_made_of_is_looked_at(given: dict[str, Any], said: str):
    with pytest.raises(RequestError, match=said):
        Scorer(("motion_smoothness",), **given)
