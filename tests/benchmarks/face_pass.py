"""Processor seconds of our face pass beside the plain per-frame loop, on one clip, in processes of their own.

The plain loop is what face_recognition does with its defaults: each frame is detected (HOG, enlarged once),
aligned by five points and embedded, one call after the other; and each tool that needs faces runs its own.
Ours detects once for all face metrics and embeds 16 frames. Both run with one thread, in turns, on frames
decoded beforehand. Run: python tests/benchmarks/face_pass.py [CLIP] [--rounds 3]; without CLIP, 49 frames of
a photograph the camera pans over are made.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# similarity, decay, distance to the reference, motion: the four columns a separate tool each would look at
# faces for.
FACE_METRICS = 4


def portrait_clip(path: Path, n_frames: int = 49) -> Path:
    """A 720x480 clip: a window gliding over a photograph in the public domain that matplotlib carries."""
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    from mmbench.video.write import write_video

    picture = Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB").resize((860, 1008))
    pixels = np.asarray(picture)
    write_video(path, (pixels[120 + 2 * i : 600 + 2 * i, i : 720 + i] for i in range(n_frames)), 8)
    return path


def frames_of(clip: Path) -> list[np.ndarray]:
    """All frames, decoded before the clock starts."""
    from mmbench.video.read import open_clip

    return list(open_clip(clip).frames())


def plain(clip: Path) -> tuple[dict[str, float], dict[int, np.ndarray]]:
    """The per-frame loop: seconds by step and the embedding of each frame with a face."""
    import dlib

    spec = importlib.util.find_spec("face_recognition_models")
    models = Path(spec.submodule_search_locations[0]) / "models"
    detector = dlib.get_frontal_face_detector()
    points = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    frames = frames_of(clip)
    seconds = {"detect": 0.0, "embed": 0.0}
    vectors = {}
    for index, frame in enumerate(frames):
        start = time.process_time()
        boxes = detector(frame, 1)
        between = time.process_time()
        if boxes:
            largest = max(boxes, key=lambda box: box.area())
            vectors[index] = np.array(network.compute_face_descriptor(frame, points(frame, largest), 1), np.float32)
        seconds["detect"] += between - start
        seconds["embed"] += time.process_time() - between
    return seconds, vectors


def ours(clip: Path, which: str) -> tuple[dict[str, float], dict[int, np.ndarray]]:
    """Our pass over "all" or the "sampled" frames: seconds by step and the embeddings of the slots."""
    from mmbench.face.face_pass import FacePass
    from mmbench.face.make import make_backend
    from mmbench.video.read import open_clip

    backend = make_backend("dlib")
    info = open_clip(clip).info
    frames = frames_of(clip)
    face_pass = FacePass(backend, which)
    start = time.process_time()
    face_pass.start(info)
    for index, frame in enumerate(frames):
        face_pass.feed(index, frame)
    face_pass._detect()
    between = time.process_time()
    track = face_pass.finish()
    seconds = {"detect": between - start, "embed": time.process_time() - between}
    present = track.slot_frames >= 0
    return seconds, dict(zip(track.slot_frames[present].tolist(), track.embeddings[present], strict=True))


def child(method: str, clip: Path, result: Path) -> None:
    """One method in this process; its numbers go to `result`."""
    seconds, vectors = plain(clip) if method == "plain" else ours(clip, method)
    order = sorted(vectors)
    np.savez(result, frames=order, vectors=np.stack([vectors[i] for i in order]), **seconds)


def measure(method: str, clip: Path, folder: Path) -> dict[str, np.ndarray]:
    """Run one method in a new process."""
    result = folder / f"{method}.npz"
    subprocess.run([sys.executable, __file__, str(clip), "--child", method, "--result", str(result)], check=True)
    with np.load(result) as data:
        return dict(data)


def compare(clip: Path, rounds: int, folder: Path) -> None:
    """Print the table."""
    from mmbench.video.read import probe

    info = probe(clip)
    runs: dict[str, list[dict[str, np.ndarray]]] = {"plain": [], "all": [], "sampled": []}
    for _ in range(rounds):
        for method, results in runs.items():
            results.append(measure(method, clip, folder))

    def median(method: str, *steps: str) -> float:
        return statistics.median(sum(float(result[step]) for step in steps) for result in runs[method])

    reference = dict(zip(runs["plain"][0]["frames"].tolist(), runs["plain"][0]["vectors"], strict=True))
    print(f"{clip.name}: {info.n_frames} frames of {info.width}x{info.height}, median of {rounds} rounds, one thread")
    print(f"{'':36}   detect    embed    total ms/frame  1 loop/this  {FACE_METRICS} loops/this")
    once = median("plain", "detect", "embed")
    rows = [
        ("plain loop, one metric", "plain", 1),
        (f"plain loop, {FACE_METRICS} metrics, a tool each", "plain", FACE_METRICS),
        ("ours, every frame, all metrics", "all", 1),
        ("ours, 16 sampled frames, all metrics", "sampled", 1),
    ]
    for label, method, times in rows:
        detect, embed = times * median(method, "detect"), times * median(method, "embed")
        total = times * median(method, "detect", "embed")
        print(
            f"{label:36}{detect:7.2f} s{embed:7.2f} s{total:7.2f} s{1000 * total / info.n_frames:9.1f}"
            f"{once / total:12.2f}x{FACE_METRICS * once / total:13.2f}x"
        )
    for method in ("all", "sampled"):
        found = zip(runs[method][0]["frames"].tolist(), runs[method][0]["vectors"], strict=True)
        shared = [(vector, reference[index]) for index, vector in found if index in reference]
        worst = max(float(np.abs(mine - theirs).max()) for mine, theirs in shared)
        print(f"embeddings, ours ({method}) against plain: {len(shared)} compared, largest difference {worst:g}")
    print(
        "The gain: one detection serves all face metrics instead of one a tool; 16 embeddings instead of one a frame\n"
        "(all that similarity and decay need); with 'sampled', detection on 16 frames, at the price of the per-frame\n"
        "motion rate. HOG's detection costs what it costs in the plain loop; an embedding is dlib's network in torch."
    )


def main() -> None:
    """Compare, or run one method as a child process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=["plain", "all", "sampled"])
    parser.add_argument("--result", type=Path)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.clip, given.result)
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = given.clip or portrait_clip(Path(folder) / "portrait_720x480.mp4")
        compare(clip, given.rounds, Path(folder))


if __name__ == "__main__":
    main()
