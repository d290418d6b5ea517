"""What a metric has to be given of a clip: a need stands beside the network that meets it, in whatever package.

The engine knows only this file: it takes the union of the metrics' needs, makes each network once a process and
meets all needs from one decode of a clip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mmbench.files import content_of, sha256
from mmbench.items import FIELDS

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.files import Progress
    from mmbench.items import Item
    from mmbench.turns import Turns
    from mmbench.video.clip import ClipInfo, FramePass

T = TypeVar("T")
N = TypeVar("N")


class Networks:
    """The networks of one process: each is made when it is first asked for, and once.

    With `turns` they share a device that does not hold them all.
    """

    def __init__(self, turns: Turns | None = None) -> None:
        self._made: dict[Hashable, Any] = {}
        self.turns = turns

    def once(self, key: Hashable, make: Callable[[], N]) -> N:
        """What `make` gave for `key` at the first call. What it raises passes through and is not remembered."""
        if key not in self._made:
            if self.turns is not None:
                self.turns.make_room()
            made = make()
            if self.turns is not None:
                self.turns.admit(made)
            self._made[key] = made
        kept: N = self._made[key]
        return kept


@dataclass(frozen=True)
class Look:
    """One pass over a clip's frames, and what it found when they are through: one result for each maker it serves."""

    frames: FramePass[Any]
    results: Callable[[], Sequence[Any]]


class Maker(Generic[T]):
    """Meets a need for one clip after another. It holds the network, and lives as long as the process's work.

    `new` gives a pass for one clip. Makers with the same `shares` (not None) look at a clip in one pass: the first
    one's `look`, given the others.
    """

    shares: Hashable = None

    def __init__(self, new: Callable[[], FramePass[T]]) -> None:
        self.new = new

    def look(self, beside: Sequence[Maker[Any]] = ()) -> Look:
        """A pass over one clip for this maker, then for those `beside` it."""
        if beside:
            raise NotImplementedError(f"{type(self).__name__} sets `shares`, so its `look` has to serve other makers")
        made = self.new()
        return Look(made, lambda: (made.finish(),))

    def known(self, clip: ClipInfo) -> T | None:
        """What an earlier run found in this very clip, where it was kept."""
        return None

    def keep(self, clip: ClipInfo, found: T) -> None:
        """Keep what was found for later runs."""


class Need(ABC, Generic[T]):
    """Something a metric reads of a clip, of type T. Two needs of one class and name are the same need."""

    name: str
    """Short, for messages and `mmbench explain`."""
    revision: int = 1
    """Raise it with any change that changes what is found: numbers made of it are then measured again."""
    reads: Collection[str] = FIELDS
    """What an item says of its video that changes what is found in it (`mmbench.items.FIELDS`)."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.name == other.name

    def __hash__(self) -> int:
        return hash((type(self).__qualname__, self.name))

    def __repr__(self) -> str:
        return f"<need {self.name}>"

    def depends_on(self, settings: EvaluateSettings) -> Mapping[str, Any]:
        """The settings, and the weight files of these settings, that change what is found, as JSON values.

        All settings but the limits, unless a need knows better (`mmbench.weights.identity` tells files apart). Nothing
        is loaded.
        """
        return settings.model_dump(mode="json", exclude={"metrics", "limits"})

    def check(self, settings: EvaluateSettings) -> None:
        """Raise what `make` would for a package or file that is not here, where that can be told without loading."""


class FrameNeed(Need[T]):
    """A need that is met by looking at the frames of each clip."""

    def gpu_bytes(self, settings: EvaluateSettings) -> int:
        """What its network takes of a GPU beside its weights, at most; so many processes are started as fit."""
        return 0

    @abstractmethod
    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[T]:
        """Load the network, through `networks` where another need may use it too, and give the maker of passes.

        Raises MissingWeights, WeightsError or MissingDependency: the metrics are "missing" then, with that reason.
        """


class RunNeed(Need[T]):
    """A need that is met before any clip is opened, from what the items of a run name: references, for example.

    Needs of one `store` are prepared together, by one of them.
    """

    store: str

    @abstractmethod
    def make(self, settings: EvaluateSettings, networks: Networks) -> object:
        """Load the network. Raises MissingWeights, WeightsError or MissingDependency."""

    @abstractmethod
    def prepare(
        self,
        items: Sequence[Item],
        settings: EvaluateSettings,
        networks: Networks,
        wanted: Collection[Need[Any]],
        run: Path,
        progress: Progress,
    ) -> None:
        """Find what all items need and keep it below the run's folder; what is there already is not redone.

        Called once a run, before workers start. `wanted` are all needs of the run: what can be found in the same go
        may be. No network is to be loaded when nothing is left to find. Raises as `make`, and MMBenchError.
        """

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """How to tell the digest of what one item's share is made of; by default of all pictures that any item names.

        Equal digests, equal shares: numbers made of it hold as long as its digest does. No network is loaded.
        """
        pictures = sorted({(item.identity, content_of(path)) for item in items for path in _pictures(item)})
        whole = sha256(repr(pictures).encode(errors="surrogatepass"))
        return lambda item: whole

    def notes(self, items: Sequence[Item], run: Path) -> Sequence[str]:
        """What `prepare` found that may not be what was meant, each "kind: sentence.": told once, and in the record."""
        return ()

    @abstractmethod
    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], T | None]:
        """How to look up one of the items in what `prepare` kept; None where it found nothing. In every process."""


class ItemNeed(RunNeed[T]):
    """A need that `read` meets from the items themselves: nothing of it is kept in the run's folder."""

    @property
    def store(self) -> str:  # type: ignore[override]
        """Its own: there is nothing to prepare together."""
        return self.name

    def make(self, settings: EvaluateSettings, networks: Networks) -> object:
        """Nothing to load, unless a need has a network."""
        return None

    def prepare(
        self,
        items: Sequence[Item],
        settings: EvaluateSettings,
        networks: Networks,
        wanted: Collection[Need[Any]],
        run: Path,
        progress: Progress,
    ) -> None:
        """Read once, so that a picture that cannot be read is told before any clip. Raises as `read`."""
        self.read(items, run)


def _pictures(item: Item) -> tuple[Path, ...]:
    return (*item.references, *((item.condition,) if item.condition else ()))
