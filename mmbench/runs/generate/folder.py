"""The folder of a generation run.

A video and its sidecar appear complete or not at all; the manifest lists what is there.

    run.json            settings and test set of the run, and one entry an invocation
    manifest.csv        one line a finished video or failed request, for `mmbench evaluate --manifest`
    videos/NAME.mp4     with NAME.json beside it: how it was made, and the sha256 of the video
    failures/NAME.json  requests that failed, tried again by the next run
    references/         the identities' pictures, so that the folder can be moved
    first_frames/       opening pictures of image-to-video models
"""

from __future__ import annotations

import csv
import os
import shutil
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from mmbench.baselines.contract import Video
from mmbench.errors import ManifestError, MMBenchError
from mmbench.files import read_json, sha256_file, whole, write_json
from mmbench.remote.path import path_of
from mmbench.remote.schemes import is_url
from mmbench.runs.evaluate.items import MANIFEST_COLUMNS
from mmbench.runs.generate.plan import Job
from mmbench.testsets.face_form import FACE
from mmbench.trigger import without_trigger
from mmbench.video.write import write_video

RUN = "run.json"
GENERATED_COLUMNS = ("prompt_form", "random_weights", "error")
"""Beyond an ordinary manifest's: untrained models are marked, failed requests stay visible as rows without a video."""


class RunFolder:
    """Paths and files of one run; `label` is the model's name in ids and tables, `jobs` all videos of the set.

    `conditions`, once set, says where a job's opening picture is. A `single` run is of one job and has no folder to
    keep failures in: they are raised.
    """

    single = False

    def __init__(self, folder: Path, label: str, jobs: Sequence[Job]) -> None:
        if is_url(folder):
            said = f"{path_of(folder)}: videos are made in a folder of this machine."
            raise ManifestError(said, "Name one, and copy it there with the storage's own program.")
        self.folder = folder
        self.label = label
        self.jobs = tuple(jobs)
        self.conditions: Callable[[Job], Path] | None = None

    def video(self, job: Job) -> Path:
        """Where the job's video is or will be."""
        return self.folder / "videos" / f"{job.name}.mp4"

    def sidecar(self, job: Job) -> Path:
        """Where the account of the job's video is."""
        return self.video(job).with_suffix(".json")

    def failure(self, job: Job) -> Path:
        """Where the account of the job's failure is."""
        return self.folder / "failures" / f"{job.name}.json"

    def open(self, asked: dict[str, Any], digest: str, attempt: dict[str, Any], wanted: Collection[Job] = ()) -> None:
        """Begin or continue a run. Raises ManifestError when the folder holds a run of other videos.

        `wanted` are the videos that all parts of the command together make.
        """
        import filelock

        self.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / ".run.lock"):
            self._open(self.folder / RUN, asked, digest, attempt, {job.name for job in wanted})

    def _open(self, path: Path, asked: dict[str, Any], digest: str, attempt: dict[str, Any], wanted: set[str]) -> None:
        mine = {"settings": asked, "testset_sha256": digest, "model": self.label}
        attempts: list[dict[str, Any]] = []
        if path.is_file():
            old = read_object(path)
            # runs begun before these settings existed had their published values
            old["settings"] = {"dtype": "auto", "options": {}, "first_frame_options": {}, **old.get("settings", {})}
            differing = [key for key in mine if old.get(key) != mine[key]]
            if differing:
                changes = _changes(old["settings"], asked) or ", ".join(differing)
                raise ManifestError(f"{self.folder} holds another run: {changes}.", "Use another --out folder.")
            attempts = old["attempts"]
            wanted |= set(old.get("wanted", ()))
        write_json(path, {**mine, "wanted": sorted(wanted), "attempts": [*attempts, attempt]})

    def abandon(self) -> None:
        """Forget a run that ended before anything came of it, so that its folder is free for other settings."""
        import filelock

        path = self.folder / RUN
        with filelock.FileLock(self.folder / ".run.lock"):
            begun_here = path.is_file() and len(read_object(path)["attempts"]) == 1
            if begun_here and not any((self.folder / name).is_dir() for name in ("videos", "failures")):
                path.unlink()

    def is_done(self, job: Job) -> bool:
        """Whether the job's video is here, complete and unchanged."""
        try:
            record = read_object(self.sidecar(job))
        except (FileNotFoundError, ManifestError):
            return False
        return self.video(job).is_file() and sha256_file(self.video(job)) == record.get("video_sha256")

    def claim(self, job: Job) -> AbstractContextManager[bool]:
        """Whether this process is the one that makes the job's video."""
        return claim(self.folder, job.name)

    def clean(self, job: Job) -> None:
        """Remove what a killed process left unfinished for this job."""
        for folder in (self.folder / "videos", self.folder / "first_frames"):
            for scratch in folder.glob(f".{job.name}[._]*"):
                scratch.unlink(missing_ok=True)

    def keep(self, job: Job, video: Video, facts: dict[str, Any]) -> None:
        """Write a video, then its sidecar: a video without one does not count and is made again."""
        path = self.video(job)
        write_video(path, video.frames, video.fps)
        frames, height, width, _ = video.frames.shape
        info = video.info
        record = {
            "id": f"{self.label}/{job.name}",
            "model": self.label,
            "identity": job.identity.id,
            "group": job.identity.group,
            "prompt_index": job.prompt.index,
            "prompt_id": job.prompt.id,
            "prompt_used": info.prompt_used,
            "prompt_truncated": info.truncated,
            "seed": job.seed,
            "fps": video.fps,
            "frames": frames,
            "size": [height, width],
            "seconds": round(info.seconds, 3),
            "peak_bytes": info.peak_bytes,
            "settings": dict(info.settings),
            "video_sha256": sha256_file(path),
            **facts,
        }
        write_json(self.sidecar(job), record)
        self.failure(job).unlink(missing_ok=True)

    def note_failure(self, job: Job, error: Exception, stage: str) -> None:
        """Write down why a request failed; it is tried again by the next run."""
        known = isinstance(error, MMBenchError)
        write_json(
            self.failure(job),
            {
                "id": f"{self.label}/{job.name}",
                "stage": stage,
                "error": type(error).__name__,
                "message": error.message if isinstance(error, MMBenchError) else str(error),
                "remedy": error.remedy if isinstance(error, MMBenchError) else "",
                "traceback": "" if known else "".join(traceback.format_exception(error)),
            },
        )

    def copy_references(self, job: Job) -> None:
        """Put the identity's pictures beside the videos, so that manifest and videos can be moved together."""
        for source, target in zip(job.identity.references, self.reference_paths(job), strict=True):
            if not target.is_file():
                with whole(target) as part:
                    shutil.copyfile(source, part)

    def reference_paths(self, job: Job) -> list[Path]:
        """The pictures' places in the run folder."""
        return [
            self.folder / "references" / f"{job.identity.id}_{number}{path.suffix}"
            for number, path in enumerate(job.identity.references, start=1)
        ]

    def write_manifest(self) -> Path:
        """List every finished video and failed request, by whichever process, in the set's order."""
        import filelock

        path = self.folder / "manifest.csv"
        lock = filelock.FileLock(self.folder / ".manifest.lock")
        with lock, whole(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, (*MANIFEST_COLUMNS, *GENERATED_COLUMNS), lineterminator="\n")
            writer.writeheader()
            for job in self.jobs:
                if self.sidecar(job).is_file() and self.video(job).is_file():
                    writer.writerow(self._manifest_row(job, read_object(self.sidecar(job))))
                elif self.failure(job).is_file():
                    writer.writerow(self._manifest_row(job, read_object(self.failure(job))))
        return path

    def _manifest_row(self, job: Job, record: dict[str, Any]) -> dict[str, str | int | float]:
        condition = self.conditions(job) if self.conditions else None
        identity = job.identity
        placed = zip(self.reference_paths(job), identity.references, strict=True)
        # of a request that failed before its pictures were placed there are none to name
        here = [(path.relative_to(self.folder).as_posix(), source) for path, source in placed if path.is_file()]
        references, shown = [name for name, _ in here], [name for name, source in here if source in identity.shown]
        return {
            "id": record["id"],
            "model": self.label,
            "identity": job.identity.id,
            "group": job.identity.group,
            "video": self.video(job).relative_to(self.folder).as_posix(),
            "references": ";".join(references),
            "shown": ";".join(shown),
            "prompt": without_trigger(job.prompt.short),
            "prompt_long": without_trigger(job.prompt.long),
            "prompt_index": job.prompt.index,
            "seed": job.seed,
            "fps": record.get("fps", ""),
            "condition": os.path.relpath(condition, self.folder) if condition else "",
            "conditioned_on": ";".join(record.get("conditioned_on", ())),
            "prompt_form": FACE if record.get("prompt_kind") == FACE else "",
            "random_weights": "true" if record.get("random_weights") else "",
            "error": record.get("message", ""),
        }


@contextmanager
def claim(folder: Path, name: str, *, wait: bool = False) -> Iterator[bool]:
    """Yields True while this process holds `name` in `folder`, False when another one does (and `wait` is not set).

    The system drops the claim of a killed process. Whoever gets one must look again whether the work is still
    to be done. Processes on several machines share claims where the file system shares locks; elsewhere use
    shards.
    """
    import filelock

    places = folder / ".claims"
    places.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(places / f"{name}.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(PermissionError):  # Windows keeps a file that is open
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def read_object(path: Path) -> dict[str, Any]:
    """An object written by this module. Raises ManifestError when it is damaged."""
    document = read_json(path)
    if not isinstance(document, dict):
        raise ManifestError(f"{path}: holds no object.", "Delete it and run the command again.")
    return document


def _changes(before: dict[str, Any], after: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} was {before.get(key)!r}, now {after[key]!r}" for key in after if before.get(key) != after[key]
    )
