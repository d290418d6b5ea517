"""The sets that can be read, where they come from and what may be done with them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.testsets.imported import consisid, ipvg, opens2v
from mmbench.testsets.types import Identity, TestSet


@dataclass(frozen=True)
class Imported:
    """A set of others: its page, what is typed to get it into `{folder}`, its licence, and how it is told and read.

    `below` are folders in which its files may lie, as its archive is unpacked.
    """

    name: str
    title: str
    page: str
    get: tuple[str, ...]
    licence: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path], tuple[Identity, ...]]
    below: tuple[str, ...] = (".",)

    def find(self, folder: Path) -> Path | None:
        """Where in `folder` the set lies; None where it does not."""
        places = (folder / step for step in self.below)
        return next((place for place in places if place.is_dir() and self.recognise(place)), None)

    def absent(self, folder: Path) -> ManifestError:
        """The error for a set that has not been downloaded to `folder`."""
        commands = " && ".join(step.format(folder=shlex.quote(str(folder))) for step in self.get)
        return ManifestError(
            f"{folder}: the test set {self.name} ({self.title}) is not there, and not ours to ship: {self.licence}.",
            f"Read {self.page}, then: {commands}",
        )


IMPORTED = (
    Imported(
        name="opens2v-human",
        title="OpenS2V-Eval, Human-Domain: 60 samples of 59 people",
        page="https://huggingface.co/datasets/BestWishYsh/OpenS2V-Eval",
        get=("hf download BestWishYsh/OpenS2V-Eval --repo-type dataset --exclude 'Results/*' --local-dir {folder}",),
        licence="the data set's page says under which licence, its code is Apache-2.0",
        recognise=opens2v.recognise,
        read=opens2v.read,
    ),
    Imported(
        name="consisid",
        title="ConsisID's evaluation set: every face with 90 prompts",
        page="https://huggingface.co/datasets/BestWishYsh/ConsisID-preview-Data",
        get=(
            f"hf download BestWishYsh/ConsisID-preview-Data {consisid.TABLES[0]} {consisid.ARCHIVE} "
            "--repo-type dataset --local-dir {folder}",
            f"tar -xf {{folder}}/{consisid.ARCHIVE} -C {{folder}}/eval",
        ),
        licence="tagged Apache-2.0 by its authors; the faces belong to the people shown",
        recognise=consisid.recognise,
        read=consisid.read,
    ),
    Imported(
        name="ipvg",
        title="IPVG challenge 2025, facial track: 200 people with 5 prompts each",
        page="https://hidream-ai.github.io/ipvg-challenge.github.io/",
        get=(
            "curl -fL --create-dirs -o {folder}/testset.zip https://github.com/HiDream-ai/"
            "ipvg-challenge.github.io/releases/download/testset/vip200k_test_track_Facial.zip",
            "unzip -q {folder}/testset.zip -d {folder}",
        ),
        licence="academic research and non-commercial purposes only",
        recognise=ipvg.recognise,
        read=ipvg.read,
        below=(".", "vip200k_test_track_Facial"),
    ),
)
NAMES = tuple(one.name for one in IMPORTED)


def named(name: str) -> Imported | None:
    """The set of that name; None for a name that is none of these."""
    return next((one for one in IMPORTED if one.name == name), None)


def recognised(folder: Path) -> Imported | None:
    """The set in whose layout a folder is; None for another layout."""
    return next((one for one in IMPORTED if one.find(folder) is not None), None)


def read_imported(one: Imported, folder: Path) -> TestSet:
    """The set in `folder`. Raises ManifestError where it is not there, or naming the file and entry that is wrong."""
    place = one.find(folder)
    if place is None:
        raise one.absent(folder)
    return TestSet(one.name, place, one.licence, one.read(place))
