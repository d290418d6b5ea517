"""What the flow of a clip said, kept on disk: another metric of it, or another run, computes no flow again."""

from __future__ import annotations

import json
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.files import installed_version, sha256, whole
from mmbench.flow.flow_pass import FlowResult
from mmbench.flow.smoothness import SmoothnessTerm
from mmbench.flow.types import VERSION
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo

UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError)


class FlowCache:
    """Flow results in a folder, one .npz a clip; arrays only.

    A file is named by the clip's content and rate, the method with all that changes its numbers (`maker`), its
    libraries' versions and `VERSION`. A damaged file counts as absent; where nothing can be written nothing is kept.
    """

    def __init__(self, folder: Path, maker: Mapping[str, Any], provenance: Provenance) -> None:
        self.folder = folder
        own = {"version": VERSION, "decoder": installed_version("av"), "provenance": asdict(provenance)}
        self._maker = {**own, "maker": maker}
        self._warned = False

    def path(self, clip: ClipInfo) -> Path:
        """Where the result of a clip is, or would be."""
        of_clip = {"content": clip.seen, "fps": clip.fps, "said_by": clip.fps_source, "frames": clip.n_frames}
        name = sha256(json.dumps({**self._maker, **of_clip}, sort_keys=True).encode())
        return self.folder / name[:2] / f"{name}.npz"

    def get(self, clip: ClipInfo, smoothness: bool) -> FlowResult | None:
        """The clip's result, None where it is not kept, or without the smoothness that is wanted."""
        try:
            with np.load(self.path(clip), allow_pickle=False) as data:
                facts = json.loads(str(data["facts"]))
                terms = [SmoothnessTerm(*map(float, row)) for row in data["smoothness"]] if facts["smooth"] else None
                if smoothness and terms is None:
                    return None
                result = {**facts["result"], "provenance": Provenance(**facts["result"]["provenance"])}
                return FlowResult(**result, scores=data["scores"], smoothness=None if terms is None else tuple(terms))
        except UNREADABLE:
            return None

    def put(self, clip: ClipInfo, result: FlowResult) -> None:
        """Keep a result; the file appears when it is complete."""
        facts = {key: value for key, value in asdict(result).items() if key not in ("scores", "smoothness")}
        terms = np.array([list(asdict(term).values()) for term in result.smoothness or ()], np.float64).reshape(-1, 3)
        header = json.dumps({"result": facts, "smooth": result.smoothness is not None})
        try:
            with whole(self.path(clip)) as part:
                np.savez(part, facts=np.array(header), scores=result.scores, smoothness=terms)
        except OSError as cause:
            if not self._warned:
                self._warned = True
                why = cause.strerror or cause
                warnings.warn(f"{self.folder}: flows are not kept for later runs: {why}.", stacklevel=2)
