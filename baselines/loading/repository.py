"""Hub repositories whose listing is not registered: what their own indices name has to be there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mmbench.errors import MissingWeights, WeightsError
from mmbench.weights.cache import RECORD
from mmbench.weights.folders import digests
from mmbench.weights.registry import Kind, WeightFile, human_size


@dataclass(frozen=True)
class Repository:
    """A repository in the layout of diffusers. `about` is its size in bytes, at two bytes a parameter.

    No digest of its files is published here: every video says those of the files that made it, as not
    checked; they are written down when they are first read, and a file that changes later is refused.
    """

    name: str
    licence: str
    about: int
    limits: str = ""
    without: tuple[str, ...] = ()
    """Networks whose weights another file brings: of them the configuration alone has to be there."""
    parts: tuple[str, ...] = ()
    """What of it is read, where it has no `model_index.json` that says so, or none that was seen.

    Nothing else of it is asked for, counted among the files that made a video, or looked at."""

    def command(self, folder: Path) -> str:
        """What fetches it into `folder`; of one with `parts` these alone, and its indices."""
        wanted = [f"{name}/*" for name in self.parts] + ["*model_index.json"] if self.parts else []
        return " ".join([f"hf download {self.name} --local-dir {folder}", *(f"--include '{path}'" for path in wanted)])

    def place(self, weights_dir: Path) -> Path:
        """Its folder below the weights folder, named as those of registered files are."""
        return weights_dir / self.name.replace("/", "--")

    def require(self, weights_dir: Path) -> Path:
        """The folder, once `model_index.json` (or `parts`) and the weights of every network it names are there.

        Raises MissingWeights that names what is absent, the size, the licence and the command that gets it;
        WeightsError for an index that is none.
        """
        folder = self.place(weights_dir)
        if lost := self._lost(folder):
            terms = f"licence: {self.licence}{f'; {self.limits}' if self.limits else ''}"
            raise MissingWeights(
                f"{folder} lacks {', '.join(lost)} of {self.name} (about {human_size(self.about)}; {terms}).",
                f"Get it: {self.command(folder)}",
            )
        return folder

    def _lost(self, folder: Path) -> list[str]:
        index = folder / "model_index.json"
        if not self.parts and not index.is_file():
            return ["model_index.json"]
        names = list(self.parts) or _named(index)
        lost = [name for name in names if not any(_own(folder.glob(f"{name}/*")))]
        networks = [name for name in names if name not in self.without and (folder / name / "config.json").is_file()]
        lost += [f"{name}/*.safetensors" for name in networks if not any((folder / name).glob("*.safetensors*"))]
        return lost + [path.relative_to(folder).as_posix() for path in self._shards(folder) if not path.is_file()]

    def in_use(self, weights_dir: Path) -> list[dict[str, str]]:
        """Name, revision (unknown, so empty) and sha256 of every weight, configuration and tokenizer file there.

        Raises WeightsError for a file that is not what it was when it was first read.
        """
        folder = self.require(weights_dir)
        kinds = (".safetensors", ".json", ".model", ".txt")
        found_below = [folder.glob(f"{name}/*") for name in self.parts or ("*",)]
        paths = sorted(path for path in chain(folder.glob("*"), *found_below) if path.suffix in kinds)
        found = [path.relative_to(folder).as_posix() for path in _own(paths)]
        try:
            return digests(weights_dir, tuple(self._entry(path) for path in found))
        except WeightsError as cause:
            get = f"Get it again: {self.command(folder)}. "
            meant = f"Is it a newer release, delete what ends in .{RECORD} below {folder}."
            raise WeightsError(cause.message, get + meant) from cause

    def _entry(self, path: str) -> WeightFile:
        kind: Kind = "safetensors" if path.endswith(".safetensors") else "data"
        name = f"{self.name}/{path}"
        return WeightFile(name, kind, self.licence, repo=self.name, path=path, revision="", limits=self.limits)

    def _shards(self, folder: Path) -> list[Path]:
        """Every file that an index of a sharded network names. Raises WeightsError for one that names none."""
        found = []
        for index in sorted(folder.glob("*/*.safetensors.index.json")):
            if index.parent.name in self.without or (self.parts and index.parent.name not in self.parts):
                continue
            try:
                names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
                found += [index.parent / Path(name).name for name in names]
            except (ValueError, KeyError, TypeError, AttributeError) as cause:
                raise WeightsError(f"{index} is no index of shards: {cause}.", "Fetch it again.") from cause
        return found


def _own(paths: Iterable[Path]) -> list[Path]:
    """Those that were fetched: no hidden ones, and no records of mmbench's about the others."""
    return [path for path in paths if not path.name.startswith(".") and not path.name.endswith(RECORD)]


def _named(index: Path) -> list[str]:
    """Components that a pipeline's index names, those set to null left out."""
    try:
        said = json.loads(index.read_text(encoding="utf-8"))
        return [name for name, value in said.items() if isinstance(value, list) and value[:1] != [None]]
    except (ValueError, AttributeError) as cause:
        raise WeightsError(f"{index} is no index of a pipeline: {cause}.", "Fetch it again.") from cause
