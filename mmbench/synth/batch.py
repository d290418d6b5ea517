"""Many clips at once: jobs spread over processes, finished files kept, an interrupted batch continued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from mmbench.engine.pool import run_tasks
from mmbench.engine.shard import Shard
from mmbench.errors import RequestError
from mmbench.files import Progress, read_json, whole, write_json
from mmbench.synth.clip import Rendered, render_clip
from mmbench.synth.identity import GROUPS, parse_name
from mmbench.synth.kit import load_kit
from mmbench.synth.motion import MOTIONS, Motion, trajectory
from mmbench.synth.person import Person, build_person
from mmbench.synth.sampling import sample_identity
from mmbench.synth.truth import Truth
from mmbench.synth.views import random_scene


@dataclass(frozen=True)
class ClipJob:
    """One clip. `identity` is GROUP-SEED (`woman-03`); `seed` draws light, clothes, backdrop, phases and grain."""

    identity: str
    motion: Motion
    seed: int = 0
    frames: int = 49
    height: int = 256
    width: int = 256
    amplitude: float = 1.0
    zoom: float = 1.0
    fps: float = 8.0
    truth: bool = False

    @property
    def name(self) -> str:
        """File name without ending: identity, motion, seed, size."""
        return f"{self.identity}_{self.motion}_{self.seed:05d}_{self.width}x{self.height}x{self.frames}"


def people(count: int, first_seed: int = 1000) -> list[str]:
    """Names of `count` identities that are not in the bundled set, going round the seven groups."""
    return [f"{GROUPS[k % 7].replace(' ', '-')}-{first_seed + k // 7:02d}" for k in range(count)]


def jobs(
    identities: Sequence[str],
    motions: Sequence[Motion],
    clips: int = 1,
    like: ClipJob | None = None,
    seed: int = 0,
) -> list[ClipJob]:
    """`clips` jobs for each identity and motion; sizes and the rest as in `like`. Raises `RequestError` on
    bad names."""
    pattern = like or ClipJob("man-00", "mixed")
    for name in identities:
        parse_name(name)
    for motion in motions:
        if motion not in MOTIONS:
            raise RequestError(f"{motion!r} is not a motion.", f"Choose from {', '.join(MOTIONS)}.")
    if pattern.frames < 1 or min(pattern.height, pattern.width) < 32 or pattern.fps <= 0:
        raise RequestError(
            "Clips need at least one frame, 32 pixels a side and a positive rate.",
            "Mend --frames, --size, --fps.",
        )
    made = []
    for k, name in enumerate(identities):
        for m, motion in enumerate(motions):
            for c in range(clips):
                number = seed + c + clips * (m + len(motions) * k)
                made.append(replace(pattern, identity=name, motion=motion, seed=number))
    return made


@lru_cache(maxsize=4)
def _person(name: str) -> Person:
    kit = load_kit()
    return build_person(kit, sample_identity(kit, *parse_name(name)))


def render_job(job: ClipJob) -> list[Rendered]:
    """The frames of a job, with truth where it asks for it. Equal jobs give equal frames on one back end."""
    rng = np.random.default_rng([job.seed, 31])
    scene = replace(random_scene(rng), height=job.height, width=job.width, zoom=job.zoom)
    states = trajectory(job.motion, job.frames, job.seed, job.amplitude)
    return list(render_clip(_person(job.identity), scene, states, job.seed, job.truth))


def truth_arrays(frames: Sequence[Truth]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """A clip's truth as arrays, frames first.

    `landmarks`, `five`, `visible`, `box`, `inside`, `pose` (yaw, pitch, roll), `expression` (controls in the order of
    `Expression`), `gaze`, `labels`, `depth`, `flow` and `occluded` (one fewer).
    """
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for key in ("landmarks", "five", "visible", "box", "labels", "depth"):
        arrays[key] = np.stack([getattr(frame, key) for frame in frames])
    arrays["inside"] = np.array([frame.inside for frame in frames], np.float32)
    for key in ("pose", "expression", "gaze"):
        arrays[key] = np.array([astuple(getattr(frame, key)) for frame in frames], np.float32)
    flows = [frame.flow for frame in frames if frame.flow is not None]
    if flows:
        arrays["flow"] = np.stack(flows)
        arrays["occluded"] = np.stack([frame.occluded for frame in frames if frame.occluded is not None])
    return arrays


def run_job(job: ClipJob, out: Path) -> str:
    """Render a job to `out/NAME.mp4` (and `NAME.npz` with truth, `NAME.json` with the job), unless it is there."""
    from mmbench.video.write import write_video

    note = out / f"{job.name}.json"
    if note.is_file() and read_json(note) == asdict(job):
        return job.name
    frames = render_job(job)
    write_video(out / f"{job.name}.mp4", (frame.image for frame in frames), job.fps)
    if job.truth:
        known = [frame.truth for frame in frames if frame.truth is not None]
        with whole(out / f"{job.name}.npz") as part:
            np.savez_compressed(part, allow_pickle=False, **truth_arrays(known))
    write_json(note, asdict(job))  # written last: its presence says that the clip is complete
    return job.name


def render_batch(
    todo: Iterable[ClipJob],
    out: Path,
    workers: int = 1,
    progress: Progress | None = None,
    *,
    shard: Shard | None = None,
) -> list[Path]:
    """Render jobs, those of `shard`, into a folder; jobs whose files are complete are skipped.

    Returns the videos in the order of the jobs. Several processes may work in one folder, each on its own part.
    """
    listed = (shard or Shard()).of(todo, lambda job: job.name)
    out.mkdir(parents=True, exist_ok=True)
    load_kit()  # a missing kit is one clear error here, not one a worker
    done = 0

    def on_result(job: ClipJob, name: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(listed), "clips")

    run_tasks(listed, partial(_rendering, out), workers=workers, on_result=on_result, name=lambda job: job.name)
    return [out / f"{job.name}.mp4" for job in listed]


@contextmanager
def _rendering(out: Path, worker: int) -> Iterator[Callable[[ClipJob], str]]:
    """What a worker does: people are made once a process (`_person`), frames and files for each job."""
    yield partial(run_job, out=out)
