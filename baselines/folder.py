"""A folder of finished videos as a model: for systems that are run elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from mmbench.baselines.contract import Baseline, Kind, Native, PromptKind, Request, Video, VideoInfo
from mmbench.errors import RequestError
from mmbench.trigger import without_trigger
from mmbench.video.endings import VIDEO_ENDINGS
from mmbench.video.listing import is_clip

FPS = 8.0


class Folder(Baseline):
    """Gives back, for a request, the video in `path` that is named after it.

    A file is found by the slug of its prompt and its seed: `a_woman_smiles-3.mp4` or, where there is one seed a
    prompt, `a_woman_smiles.mp4`; the slug is of the short or the long prompt, lower case, letters and digits kept,
    runs of anything else one underscore, at most 120 characters, the trigger word left out.
    """

    name: ClassVar[str] = "folder"
    kind: ClassVar[Kind] = "t2v"
    variants: ClassVar[tuple[str, ...]] = ("files",)

    def __init__(self, path: str | Path, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.path = Path(path)
        self._files: dict[str, Path] = {}

    def native(self, variant: str | None = None) -> Native:
        self.pick_variant(variant)
        return Native(size=(480, 720), frames=49, fps=FPS)

    def check(self, request: Request, variant: str | None = None) -> None:
        self.resolve_options(request.options)
        self.find(request)

    def load(self, device: str, dtype: str, variant: str, weights_dir: Path) -> None:
        """List the folder; nothing else is needed."""
        self._files = self.listing()

    def generate(self, request: Request) -> Video:
        path = self.find(request)
        frames, fps = read_video(path)
        info = VideoInfo(
            seed=request.seed,
            seconds=0.0,
            peak_bytes=None,
            prompt_used=self.prompt_for(request),
            truncated=False,
            settings={"file": path.name},
        )
        return Video(frames=frames, fps=fps, info=info)

    def listing(self) -> dict[str, Path]:
        """Slug of the file name to file. Raises RequestError for a folder without videos."""
        found = (
            {_stem(path).lower(): path for path in sorted(self.path.iterdir()) if is_clip(path)}
            if self.path.is_dir()
            else {}
        )
        if not found:
            raise RequestError(f"{self.path} holds no videos.", f"Give a folder with {', '.join(VIDEO_ENDINGS)} files.")
        return found

    def find(self, request: Request) -> Path:
        """The file of a request. Raises RequestError naming what was looked for."""
        files = self._files or self.listing()
        wanted = []
        for text in (request.short_prompt, request.prompt):
            if text:
                stem = slug(text)
                wanted += [f"{stem}-{request.seed}", stem]
        for stem in wanted:
            if stem in files:
                return files[stem]
        raise RequestError(f"{self.path} has no video for this request.", f"Looked for {', '.join(wanted)}.")


def slug(text: str) -> str:
    """A prompt as a file name: "A woman img smiles!" -> "a_woman_smiles"."""
    return re.sub(r"[^a-z0-9]+", "_", without_trigger(text).lower()).strip("_")[:120]


def read_video(path: Path) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], float]:
    """Frames uint8 RGB (T, H, W, 3) and frames per second. Raises MediaError where the clip cannot be used."""
    from mmbench.video.read import open_clip

    clip = open_clip(path)
    return np.stack(list(clip.frames())), clip.info.fps


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem
