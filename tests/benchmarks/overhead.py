"""What evaluating costs beyond the networks: processor seconds of one evaluated clip over the bare forwards.

One clip, one thread, every network at full size with random weights (dlib with its real ones): first each network
alone on frames already in memory, then the whole evaluation of the same clip: decoding, sampling, metrics, row.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[limit] = "1"

import av
import numpy as np
import torch

import mmbench.testsets
from mmbench.config import EvaluateSettings
from mmbench.encode.inception.classes import InceptionPass, make_inception
from mmbench.encode.needs import INCEPTION, VIDEO_TEXT
from mmbench.encode.viclip.alignment import ViClip, VideoTextPass, centre_cut, make_viclip
from mmbench.face.face_pass import FacePass
from mmbench.face.make import make_backend
from mmbench.face.needs import FACES
from mmbench.face.types import FaceBackend
from mmbench.flow.make import make_flow
from mmbench.flow.needs import FLOW, FlowMaker
from mmbench.flow.types import FlowBackend
from mmbench.items import Item
from mmbench.metrics.base import DerivedMetric
from mmbench.metrics.registry import BUILT_IN
from mmbench.runs.evaluate.clip import Task, make_metrics, measure_item
from mmbench.runs.evaluate.gather import Gatherer
from mmbench.runs.evaluate.inputs import Inputs
from mmbench.runs.evaluate.items import read_manifest
from mmbench.runs.evaluate.store import RowWriter
from mmbench.video.clip import ClipInfo, Frame, FramePass
from mmbench.video.need import FrameNeed, Maker
from mmbench.video.sample import middle_indices, sample_indices

PROMPT = "a woman in a park is smiling"
SET = Path(mmbench.testsets.__path__[0]) / "synthetic50"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path, nargs="?", default=SET / "controls/truth", help="a clip with a face")
    parser.add_argument("reference", type=Path, nargs="?", help="a picture of that face")
    given = parser.parse_args()
    torch.set_num_threads(1)
    clip, references = given.clip, (given.reference,)
    if clip.is_dir() or given.reference is None:
        item = next(i for i in read_manifest(SET / "manifest.csv") if i.model == "truth")
        clip, references = item.video, item.references
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    flow, video_text = make_flow("raft", weights="random"), make_viclip(weights="random")
    inception, faces = make_inception(weights="random"), make_backend("dlib")
    bare = {
        "raft": seconds(lambda: run_flow(flow, frames)),
        "viclip": seconds(lambda: (run_viclip(video_text, frames), video_text.text(PROMPT))),
        "inception": seconds(lambda: run_pass(InceptionPass(inception), frames)),
        "dlib": seconds(lambda: run_faces(faces, frames)),
    }
    video_text._texts.clear()  # the evaluation encodes the prompt itself
    makers: dict[FrameNeed[Any], Maker[Any]] = {
        FACES: Maker(lambda: FacePass(faces, "all")),
        FLOW: FlowMaker(flow, "full", smoothness=True),
        VIDEO_TEXT: Maker(lambda: VideoTextPass(video_text)),
        INCEPTION: Maker(lambda: InceptionPass(inception)),
    }
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for need, maker in makers.items():
            stack.enter_context(mock.patch.object(type(need), "make", lambda *_, made=maker: made))
        run = Path(folder)
        os.environ["MMBENCH_CACHE"] = folder
        settings = EvaluateSettings(metrics=tuple(name for name in BUILT_IN if name != "id_similarity_arcface"))
        item = Item("m/clip", "m", "person", clip, references, prompt=PROMPT)
        metrics = make_metrics(settings)
        gatherer = Gatherer(settings, metrics.values(), [item], run)
        gatherer.prepare(lambda *_: None)
        with RowWriter(run, "0000-0") as writer:
            parts = Inputs(settings, metrics, [item]).parts(item)
            todo = tuple(name for name, metric in metrics.items() if not isinstance(metric, DerivedMetric))
            whole = seconds(lambda: writer.add(measure_item(Task(item, parts, todo), metrics, gatherer)))
    print(f"{clip.name}: {len(frames)} frames of {frames[0].shape[1]}x{frames[0].shape[0]}, one thread, random weights")
    for name, spent in bare.items():
        print(f"  {name:<12}{spent:8.2f} s")
    total = sum(bare.values())
    print(f"  {'bare sum':<12}{total:8.2f} s   1.00x")
    print(f"  {'evaluate':<12}{whole:8.2f} s   {whole / total:.3f}x   (goal: at most 1.10x)")


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def run_flow(flow: FlowBackend, frames: list[Frame]) -> None:
    """Every frame encoded once, every pair's flow, in the backend's own batches."""
    at_once = flow.pairs_at_once(*frames[0].shape[:2])
    last = flow.encode(frames[:1])
    for start in range(0, len(frames) - 1, at_once):
        part = frames[start : start + at_once + 1]
        features = torch.cat([last, flow.encode(part[1:])])
        flow.flows(part[:-1], features[:-1], features[1:])
        last = features[-1:]


def run_viclip(encoder: ViClip, frames: list[Frame]) -> None:
    """Eight frames, cut and encoded."""
    encoder.video(np.stack([centre_cut(frames[int(t)]) for t in middle_indices(len(frames))]))


def run_pass(made: FramePass[Any], frames: list[Frame]) -> None:
    """A pass that is nothing but its network."""
    height, width = frames[0].shape[:2]
    made.start(ClipInfo(Path("clip"), len(frames), width, height, 8.0, "container", 8.0, False, "0" * 64))
    for t, frame in enumerate(frames):
        made.feed(t, frame)
    made.finish()


def run_faces(backend: FaceBackend, frames: list[Frame]) -> None:
    """Every frame searched, the largest face of 16 frames embedded."""
    found = backend.detect(frames)
    chips = [backend.chip(frames[int(t)], found[int(t)][0]) for t in sample_indices(len(frames), 16) if found[int(t)]]
    backend.embed(np.stack(chips))


if __name__ == "__main__":
    main()
