"""Opening pictures for image-to-video models: made for a whole run before the video model is loaded, and kept."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.contract import Baseline, FirstFrame, Opening, Setting, Size
from mmbench.errors import ManifestError
from mmbench.files import Progress, sha256, sha256_file, write_json
from mmbench.runs.generate.folder import claim, read_object
from mmbench.runs.generate.plan import Job, open_picture, open_references

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmbench.baselines.session import Session


@dataclass(frozen=True)
class FrameStore:
    """A folder of first frames; models with equal needs share pictures in it, others keep theirs beside them.

    `options` are the maker's that differ from the published ones, `dtype` what was asked for.
    """

    folder: Path
    maker: str
    size: Size
    options: Mapping[str, Setting] = field(default_factory=dict)
    dtype: str = "auto"

    def path(self, job: Job) -> Path:
        """Where the job's picture is or will be: pictures of which something else was asked have other names."""
        asked = sha256(json.dumps(self._asked(job), sort_keys=True).encode())[:8]
        return self.folder / f"{job.name}_{self.size[0]}x{self.size[1]}_{asked}.png"

    def is_done(self, job: Job) -> bool:
        """Whether the job's picture is here, unchanged, made by the same maker from the same request."""
        try:
            account = self.account(job)
        except (FileNotFoundError, ManifestError):
            return False
        path = self.path(job)
        facts = {**self._asked(job), "sha256": sha256_file(path) if path.is_file() else None}
        return all(account.get(key) == value for key, value in facts.items())

    def keep(self, job: Job, opening: Opening, provenance: dict[str, Any]) -> None:
        """Write the picture, then its account: what was asked, how it was made, by which weights and versions."""
        from mmbench.testsets.pictures import save_png

        path = self.path(job)
        save_png(opening.image, path)
        made = {"truncated": opening.truncated, "settings": dict(opening.settings), "sha256": sha256_file(path)}
        write_json(path.with_suffix(".json"), {**self._asked(job), **made, **provenance})

    def open(self, job: Job) -> Image:
        """The job's picture as RGB."""
        return open_picture(self.path(job))

    def account(self, job: Job) -> dict[str, Any]:
        """How the job's picture was made. Raises FileNotFoundError, ManifestError."""
        return read_object(self.path(job).with_suffix(".json"))

    def _asked(self, job: Job) -> dict[str, Any]:
        return {
            "maker": self.maker,
            "seed": job.seed,
            "prompt": job.given[0],
            "references": [sha256_file(path) for path in job.identity.shown],
            "options": dict(self.options),
            "dtype": self.dtype,
        }


@dataclass(frozen=True)
class GivenFrame:
    """An opening picture that the user gave, for every job."""

    picture: Path

    def path(self, job: Job) -> Path:
        """The user's file."""
        return self.picture

    def open(self, job: Job) -> Image:
        """The picture as RGB."""
        return open_picture(self.picture)

    def account(self, job: Job) -> dict[str, Any]:
        """What a video's sidecar says of its opening picture."""
        return {"maker": "given", "sha256": sha256_file(self.picture)}


def pick_first_frame_variant(maker: FirstFrame, wanted: str | None, model: Baseline, variant: str) -> str:
    """The maker's variant: `wanted`, else its tiny one for a tiny model, else its first published one."""
    if wanted is None and variant in model.tiny_variants and maker.tiny_variants:
        return maker.tiny_variants[0]
    return maker.pick_variant(wanted)


def maker_label(maker: FirstFrame, variant: str) -> str:
    """The maker's name, with its variant where that is not the first published one."""
    return maker.name if variant == maker.variants[0] else f"{maker.name}-{variant}"


def make_first_frames(
    jobs: Sequence[Job],
    store: FrameStore,
    maker: FirstFrame,
    variant: str,
    session: Session,
    failed: Callable[[Job, Exception], None],
    progress: Progress | None = None,
) -> None:
    """Make the missing pictures of `jobs` from their long prompts; a request that fails is handed to `failed`.

    The maker is loaded only when something is missing. `session` frees it when the next model is loaded.
    Pictures that another process is making are waited for at the end.
    """
    missing = [job for job in jobs if not store.is_done(job)]
    elsewhere: list[Job] = []
    provenance: dict[str, Any] = {}
    done = len(jobs) - len(missing)
    _tell_of_others([job for job in jobs if job not in missing], store, maker)
    for wait, todo in ((False, missing), (True, elsewhere)):
        for job in todo:
            if progress:
                progress(done, len(jobs), "first frames")
            with claim(store.folder, store.path(job).stem, wait=wait) as mine:
                if not mine:
                    elsewhere.append(job)
                    continue
                done += 1
                if not store.is_done(job):
                    session.load(maker, variant)
                    provenance = provenance or {
                        "licence": maker.licence,
                        "versions": maker.versions(),
                        "weights": maker.weights_in_use(session.weights_dir, variant),
                    }
                    _make(job, store, maker, provenance, failed)
    if progress and missing:
        progress(done, len(jobs), "first frames")


def _tell_of_others(jobs: Sequence[Job], store: FrameStore, maker: FirstFrame) -> None:
    """Warn of pictures that are kept although other versions of a library made them: models share pictures in a folder.

    What made each one stands in its account, and in the sidecar of every video that begins with it.
    """
    now = maker.versions()
    others: dict[str, int] = {}
    for job in jobs:
        then = store.account(job).get("versions", {})
        for name in sorted(now.keys() & then.keys()):
            if then[name] != now[name]:
                change = f"{name} {then[name]}, now {now[name]}"
                others[change] = others.get(change, 0) + 1
    for change, count in others.items():
        warnings.warn(
            f"{store.folder}: {count} first frames were made with {change}. They are kept; delete the folder to make "
            "them again.",
            stacklevel=3,
        )


def _make(
    job: Job,
    store: FrameStore,
    maker: FirstFrame,
    provenance: dict[str, Any],
    failed: Callable[[Job, Exception], None],
) -> None:
    try:
        opening = maker.opening(job.given[0], open_references(job.identity), store.size, job.seed)
        store.keep(job, opening, provenance)
    except Exception as error:
        # One request must not stop the others; the caller keeps the reason.
        failed(job, error)
