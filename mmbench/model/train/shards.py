"""Shards of records: WebDataset tars, read by position so that any order can be resumed at any sample."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import Dataset

from mmbench.errors import ManifestError
from mmbench.files import whole
from mmbench.model.train.record import TrainingRecord, decode, encode


def write_shard(path: Path, records: Iterable[TrainingRecord]) -> int:
    """Write a tar of records, whole or not at all, and return how many; equal records give equal bytes."""
    count = 0
    with whole(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for record in records:
            for ending, data in encode(record).items():
                info = tarfile.TarInfo(f"{record.key}.{ending}")
                info.size, info.mode = len(data), 0o644
                tar.addfile(info, io.BytesIO(data))
            count += 1
    return count


@dataclass(frozen=True)
class _Place:
    """Where the members of one record lie in its shard: ending, offset, length."""

    shard: int
    key: str
    members: tuple[tuple[str, int, int], ...]


class ShardSet(Dataset[TrainingRecord]):
    """All records of some shards, in the order of the shards' names; `len` and any index, nothing held in memory.

    Tars are uncompressed, so a record is a few reads at known offsets. `paths`: tar files and folders of them.
    Raises ManifestError when there is none, one is damaged, or a key stands twice.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.shards = shard_files(paths)
        self._places = [place for index, shard in enumerate(self.shards) for place in _index(index, shard)]
        seen: set[str] = set()
        for place in self._places:
            if place.key in seen:
                raise ManifestError(
                    f"{self.shards[place.shard]}: the record {place.key!r} stands twice in this data set.",
                    "Name every folder of shards once.",
                )
            seen.add(place.key)
        if not self._places:
            raise ManifestError(f"{', '.join(map(str, paths))}: the shards hold no record.", "Build the data first.")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> TrainingRecord:
        place = self._places[index]
        shard = self.shards[place.shard]
        members = {}
        with shard.open("rb") as opened:
            for ending, offset, length in place.members:
                opened.seek(offset)
                members[ending] = opened.read(length)
        return decode(members, f"{shard}, {place.key}")

    def keys(self) -> list[str]:
        """Keys of the records in order."""
        return [place.key for place in self._places]


def shard_files(paths: Sequence[Path]) -> list[Path]:
    """The tar files of these files and folders, each folder's sorted by name."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.tar")) if path.is_dir() else [path]
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        where = ", ".join(str(path) for path in missing or paths)
        raise ManifestError(f"{where}: no shard is there.", "Name a .tar file, or a folder that holds some.")
    return found


def _index(number: int, shard: Path) -> list[_Place]:
    """The records of one shard, by the members' headers."""
    try:
        with tarfile.open(shard, "r:") as tar:
            members = [(info.name, info.offset_data, info.size) for info in tar if info.isfile()]
    except (tarfile.TarError, OSError) as cause:
        raise ManifestError(f"{shard}: cannot be read as a tar: {cause}.", "Build the shard again.") from cause
    groups: dict[str, list[tuple[str, int, int]]] = {}
    for name, offset, length in members:
        key, _, ending = name.partition(".")
        group = groups.setdefault(key, [])
        if any(held == ending for held, _, _ in group):
            raise ManifestError(f"{shard}: the record {key!r} stands twice in it.", "Build the shard again.")
        group.append((ending, offset, length))
    return [_Place(number, key, tuple(found)) for key, found in groups.items()]
