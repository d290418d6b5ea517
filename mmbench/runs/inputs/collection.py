"""Items that were collected, what was passed over meanwhile, and both in words."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import ManifestError
from mmbench.items import Item
from mmbench.names import few, key
from mmbench.runs.inputs.references import same_pictures


@dataclass(frozen=True)
class Collection:
    """Items in their order. `notes` name whatever was passed over, cut, merged or overruled, a sentence each."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    def told(self) -> list[Item]:
        """The items, every note given as a Python warning: for callers that take nothing but items."""
        for note in self.notes:
            warnings.warn(f"{note}.", stacklevel=3)
        return list(self.items)

    def strict(self) -> None:
        """Raise ManifestError where anything was passed over, cut, merged or overruled."""
        if self.notes:
            more = f" (and {len(self.notes) - 1} more)" if len(self.notes) > 1 else ""
            raise ManifestError(
                f"Refused, as strict asks: {self.notes[0]}{more}.",
                "Mend it; without strict it is only said.",
            )


def summary(items: Sequence[Item]) -> str:
    """Models x identities x clips of each, or the clips of every model where they are not equally many."""
    models = Counter(item.model for item in items)
    people = {(item.model, item.identity) for item in items}
    shares = Counter(Counter((item.model, item.identity) for item in items).values())
    identities = len({identity for _, identity in people})
    clips = f"{len(items)} clip{'' if len(items) == 1 else 's'}"
    heads = f"{_count(len(models), 'model')} x {_count(identities, 'identity')}"
    if len(shares) == 1 and len(people) == len(models) * identities:
        return f"{heads} x {_count(next(iter(shares)), 'clip')} = {clips}"
    each = few((f"{model} {number}" for model, number in models.items()), 8)
    return f"{heads}, {clips}" + (f" ({each})" if len(models) > 1 else "")


def collected(
    items: Sequence[Item], notes: Iterable[str], source: Path, where: Callable[[Item], str] | None = None
) -> Collection:
    """The items with notes on what they share that they should not. Raises ManifestError where an id stands twice."""
    return Collection(tuple(unique(list(items), source)), (*notes, *_look_alikes(items), *_conflicts(items, where)))


def unique(items: list[Item], source: Path) -> list[Item]:
    """The items, if no id stands twice; raises ManifestError otherwise, naming the videos of the first that does."""
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        videos = few(item.video.name for item in items if item.id == twice[0])
        raise ManifestError(
            f"{source}: the id {twice[0]!r} stands more than once ({videos}).",
            "Give every video its own name (the ending does not count), or every line of a manifest its own id.",
        )
    return items


def _look_alikes(items: Iterable[Item]) -> list[str]:
    """Models, and identities, whose names differ in nothing but capitals or accents' forms."""
    notes = []
    for what in ("model", "identity"):
        names: dict[str, dict[str, None]] = defaultdict(dict)
        for item in items:
            names[key(getattr(item, what))][getattr(item, what)] = None
        for alike in names.values():
            if len(alike) > 1:
                kind = "models" if what == "model" else "identities"
                notes.append(f"{few(alike)} are taken for {len(alike)} {kind}; their names differ in capitals only")
    return notes


def _conflicts(items: Sequence[Item], where: Callable[[Item], str] | None) -> list[str]:
    """One video listed twice; one identity with several sets of references."""
    place = where or (lambda item: item.id)
    videos: dict[tuple[str, str], Item] = {}
    pictures: dict[str, Item] = {}
    twice: list[str] = []
    several: dict[str, str] = {}
    for item in items:
        first = videos.setdefault((item.model, str(item.video)), item)
        if first is not item:
            twice.append(f"{place(item)} names the video of {place(first)} once more")
        other = pictures.setdefault(item.identity, item)
        if other.references != item.references and not same_pictures((other.references, item.references)):
            several.setdefault(
                item.identity,
                f"identity {item.identity} has other references in {place(item)} than in {place(other)}",
            )
    notes = []
    for found in (twice, list(several.values())):
        if found:
            notes.append(found[0] + (f"; so have {len(found) - 1} more" if len(found) > 1 else ""))
    return notes


def _count(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {'identities' if what == 'identity' else what + 's'}"
