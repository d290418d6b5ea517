"""Seconds a frame of the renderer at 256x256 and 480x720, numba and numpy, against the bare rasteriser.

    python tests/benchmarks/render.py [--frames 5]

Times are of the process (CPU), so a busy machine changes them little. "bare" rasterises the same triangles once at the
picture's own size, without supersampling, hair cutting, shadows or shading. Goal: a shaded, 2x2 supersampled 256x256
frame in at most 0.15 s with numba on one core. Needs the face kit (`mmbench synth kit build`).
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import time
from collections.abc import Callable
from dataclasses import replace

from mmbench.synth import raster
from mmbench.synth.clip import clip_truth
from mmbench.synth.kit import KitError, load_kit
from mmbench.synth.motion import trajectory
from mmbench.synth.person import Person, build_person
from mmbench.synth.picture import render
from mmbench.synth.raster import Backend, rasterise
from mmbench.synth.sampling import sample_identity
from mmbench.synth.scene import Backdrop, Scene, State, camera

GOAL = 0.15


def seconds(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds of one call, the best of `repeats` after a warm-up call."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def bare(person: Person, scene: Scene, backend: Backend) -> Callable[[], object]:
    """The rasteriser alone on a posed and projected body."""
    view = camera(person, scene, State())
    pixels, depth = view.project(person.vertices())
    return lambda: rasterise(pixels, depth, person.body.tri, scene.height, scene.width, backend=backend)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=5)
    frames = parser.parse_args().frames
    try:
        kit = load_kit()
    except KitError as cause:  # the other benchmarks of the environment need no kit
        print(f"not measured: {cause}")
        return
    identity = sample_identity(kit, "woman", 2)
    backends: list[Backend] = ["numpy"] if importlib.util.find_spec("numba") is None else ["numba", "numpy"]
    print(f"{platform.machine()}, Python {platform.python_version()}, best of {frames}, CPU seconds, one core")
    print("| back end | size | bare raster | shaded 1x1 | shaded 2x2 | 2x2 / bare | truth with flow | person |")
    print("|---|---|---|---|---|---|---|---|")
    for backend in backends:
        raster.default_backend = lambda chosen=backend: chosen  # type: ignore[assignment,misc]
        person = build_person(kit, identity)
        built = seconds(lambda: build_person(kit, identity), 1)
        for height, width in ((256, 256), (480, 720)):
            scene = Scene(height=height, width=width, backdrop=Backdrop("garden", 1))
            single = replace(scene, samples=1)
            alone = seconds(bare(person, scene, backend), frames)
            plain = seconds(lambda p=person, s=single: render(p, s), frames)  # type: ignore[misc]
            full = seconds(lambda p=person, s=scene: render(p, s), frames)  # type: ignore[misc]
            states = trajectory("mixed", 3)
            truth = seconds(lambda p=person, s=scene, q=states: list(clip_truth(p, s, q)), 2) / len(states)  # type: ignore[misc]
            print(
                f"| {backend} | {height}x{width} | {alone:.3f} | {plain:.3f} | {full:.3f} | {full / alone:.1f} "
                f"| {truth:.3f} | {built:.2f} |"
            )
            if backend == "numba" and height == 256:
                goal = f"goal {GOAL} s: {'met' if full <= GOAL else 'MISSED'} ({full / GOAL:.2f} of it)"
    if "numba" in backends:
        print(goal)


if __name__ == "__main__":
    main()
