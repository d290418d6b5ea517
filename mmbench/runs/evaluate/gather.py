"""Gather what the metrics of a run need: the union of their needs, each network made once, one decode of each clip."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.config import EvaluateSettings
from mmbench.device import check_arithmetic, torch_as_started, torch_device
from mmbench.errors import MissingDependency, MissingWeights, MMBenchError, WeightsError, machine_fault
from mmbench.files import Progress
from mmbench.items import Item
from mmbench.metrics.base import Evidence, FrameNeed, Maker, Metric, Need, Networks, RunNeed
from mmbench.runs.evaluate.fault import fault
from mmbench.runs.evaluate.profile import DECODING, LOADING, MOVING, Stopwatch, chosen_profile
from mmbench.runs.evaluate.rows import MeasuredFile
from mmbench.video.container.decoder import check_decoder

if TYPE_CHECKING:
    from mmbench.turns import Turns
    from mmbench.video.ahead import Room
    from mmbench.video.clip import ClipInfo, Frame
    from mmbench.video.limits import MediaLimits
    from mmbench.video.need import Look
    from mmbench.video.read import Clip
    from mmbench.video.upcoming import Upcoming

UNAVAILABLE = (MissingWeights, MissingDependency, WeightsError)


@dataclass(frozen=True)
class Unmet:
    """Why a need is not met, and what to do. `fault`: it is no lack of this machine, what should meet it failed."""

    reason: str
    remedy: str
    fault: bool = False


class Gatherer:
    """Meets the needs of a run's metrics. Nothing is loaded before it is asked for, and then once.

    `prepare` is called once, before any clip; `gather` for each clip, in whatever process. A copy that is sent to
    another process brings no network: that process makes its own.
    """

    def __init__(self, settings: EvaluateSettings, metrics: Iterable[Metric], items: Sequence[Item], run: Path) -> None:
        self._settings, self._items, self.run = settings, tuple(items), run
        self._needs = tuple(dict.fromkeys(need for metric in metrics for need in metric.needs))
        self._unprepared: dict[Need[Any], Unmet] = {}
        self._profile = chosen_profile()
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: no networks, nothing read."""
        return {key: self.__dict__[key] for key in ("_settings", "_items", "run", "_needs", "_unprepared", "_profile")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In the other process."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self.times = Stopwatch(self._profile)
        turns, times = _turns(self._settings), self.times
        if turns is not None:
            turns.around = lambda: times.within(MOVING)
        self._networks = Networks(turns)
        self._makers: dict[FrameNeed[Any], Maker[Any]] = {}
        self._unmade: dict[Need[Any], Unmet] = {}
        self._readers: dict[RunNeed[Any], Callable[[Item], Any]] = {}
        self._room: Room | None = None
        self._expected: tuple[Item, bool] | None = None
        self._upcoming: Upcoming | None = None

    def expect(self, item: Item, decode: bool = True) -> None:
        """Open the video of `item`, and decode its first frames, while the next clip asked for is looked at.

        It will likely be the one after that. What goes wrong with it is told in its own turn.
        """
        self._expected = (item, decode)

    def close(self) -> None:
        """End what was begun of a clip that has not had its turn."""
        self._expected = None
        if (begun := self._upcoming) is not None:
            self._upcoming = None
            begun.close()

    def share(self, other: Gatherer) -> None:
        """Use the networks that another gatherer of the same settings has loaded, and load further ones for both."""
        self._networks, self._makers, self._unmade = other._networks, other._makers, other._unmade

    @torch_as_started()
    def prepare(self, progress: Progress) -> None:
        """Meet what is to be met before any clip is opened: reference faces. Raises ReferenceFaceError."""
        for needs in self._stores().values():
            try:
                needs[0].prepare(self._items, self._settings, self._networks, self._needs, self.run, progress)
            except Exception as cause:
                self._unprepared.update(dict.fromkeys(needs, _unmet(cause, needs[0])))

    def notes(self) -> list[str]:
        """What `prepare` found that may not be what was meant, each once."""
        needs = [need for need in self._needs if isinstance(need, RunNeed) and need not in self._unprepared]
        return list(dict.fromkeys(note for need in needs for note in need.notes(self._items, self.run)))

    @torch_as_started()
    def lacking(self, *metrics: Metric) -> dict[Need[Any], Unmet]:
        """The needs (of these metrics, else of all) that cannot be met on this machine. Makes their networks."""
        found: dict[Need[Any], Unmet] = {}
        for need in dict.fromkeys(need for metric in metrics for need in metric.needs) if metrics else self._needs:
            try:
                if isinstance(need, FrameNeed | RunNeed):
                    need.make(self._settings, self._networks)
            except Exception as cause:
                found[need] = _unmet(cause, need)
        return found

    def maker(self, need: FrameNeed[Any]) -> Maker[Any]:
        """What meets a need clip by clip. Raises KeyError where it is not met."""
        return self._frame_makers([need])[need]

    @torch_as_started()
    def gather(
        self,
        item: Item,
        needs: Iterable[Need[Any]] | None = None,
        measured: MeasuredFile | None = None,
        clip: Clip | None = None,
    ) -> tuple[Evidence, dict[Need[Any], Unmet]]:
        """What the metrics need of one clip (`needs`, else all), and why some of it is not there. Raises MediaError.

        `clip` is the item's video where the caller has opened it. Nothing is decoded where an earlier look at this very
        clip gave all that is wanted: its facts, `measured` (at this rate and within these limits), and what meets each
        need.
        """
        try:
            clip = clip or self._opened(item)
            try:
                return self._gathered(item, clip, needs, measured)
            finally:
                for begun in clip.begun:  # nobody asked for it
                    begun.close()
        finally:
            self._begin_next()

    def _gathered(
        self, item: Item, clip: Clip, needs: Iterable[Need[Any]] | None, measured: MeasuredFile | None
    ) -> tuple[Evidence, dict[Need[Any], Unmet]]:
        wanted = tuple(dict.fromkeys(self._needs if needs is None else needs))
        makers = self._frame_makers(wanted)
        unmet = {need: why for need in wanted if (why := self._unprepared.get(need) or self._unmade.get(need))}
        info, known = clip.info, False
        if measured is not None and measured.sha256 == info.sha256:
            info, known = replace(info, n_frames=measured.n_frames, warnings=measured.warnings), True
        found: dict[Need[Any], Any] = {}
        found.update({need: before for need, maker in makers.items() if (before := maker.known(info)) is not None})
        if not known or makers.keys() - found.keys():
            info = self._look(clip, makers, found, unmet)
        for of_run in wanted:
            if isinstance(of_run, RunNeed) and of_run not in unmet:
                found[of_run] = self._reader(of_run)(item)
        return Evidence(item, info, found), unmet

    def _opened(self, item: Item) -> Clip:
        """The item's video, from where it was opened ahead if it was."""
        from mmbench.video.read import open_clip

        clip = None
        if (begun := self._upcoming) is not None and begun.of(item.video, item.fps):
            self._upcoming, clip = None, begun.clip()
        by = self._settings.decode
        return clip or open_clip(item.video, item.fps, self._limits(), self._shared_room(), by)

    def _begin_next(self) -> None:
        """Begin with the clip that is expected, once; it waits until nobody asks for frames of the one at hand."""
        from mmbench.video.upcoming import Upcoming

        if (expected := self._expected) is not None:
            self.close()
            item, decode = expected
            by = self._settings.decode
            self._upcoming = Upcoming(item.video, item.fps, self._limits(), self._shared_room(), by, decode=decode)

    def _limits(self) -> MediaLimits:
        from mmbench.video.limits import MediaLimits

        return MediaLimits(**dict(self._settings.limits))

    def _shared_room(self) -> Room:
        from mmbench.video.ahead import Room

        self._room = self._room or Room()
        return self._room

    def _look(
        self,
        clip: Clip,
        makers: Mapping[FrameNeed[Any], Maker[Any]],
        found: dict[Need[Any], Any],
        unmet: dict[Need[Any], Unmet],
    ) -> ClipInfo:
        """Decode the clip once for what is not found yet."""
        from mmbench.video.cadence import CadencePass

        looks = [_Watched(group, makers, self.times) for group in _together(makers, found)]
        cadence = CadencePass()
        with self.times.watch(DECODING):
            info = clip.decode([_AtFirstFrame(self._begin_next), cadence, *looks])
        for look in looks:
            found.update(look.results(info, unmet))
        return replace(info, warnings=(*info.warnings, *cadence.finish()))

    def _stores(self) -> dict[Hashable, list[RunNeed[Any]]]:
        stores: dict[Hashable, list[RunNeed[Any]]] = {}
        for need in self._needs:
            if isinstance(need, RunNeed):
                stores.setdefault(need.store, []).append(need)
        return stores

    def _frame_makers(self, needs: Iterable[Need[Any]]) -> dict[FrameNeed[Any], Maker[Any]]:
        """The makers of those needs that can be met; each is made once."""
        wanted = [need for need in needs if isinstance(need, FrameNeed)]
        for need in wanted:
            if need not in self._makers and need not in self._unmade:
                try:
                    with self.times.watch(f"{LOADING}{need.name}"):
                        self._makers[need] = need.make(self._settings, self._networks)
                except Exception as cause:
                    self._unmade[need] = _unmet(cause, need)
        return {need: self._makers[need] for need in wanted if need in self._makers}

    def _reader(self, need: RunNeed[Any]) -> Callable[[Item], Any]:
        if need not in self._readers:
            self._readers[need] = need.read(self._items, self.run)
        return self._readers[need]


def check_devices(settings: EvaluateSettings) -> None:
    """Raise MMBenchError where this machine lacks a device, an arithmetic or a decoder that the settings name."""
    check_arithmetic(settings.device, settings.precision)
    check_decoder(settings.decode)
    if settings.device != "cpu":  # the processor is always there, and torch need not be imported to say so
        torch_device(settings.device)


def _turns(settings: EvaluateSettings) -> Turns | None:
    """What keeps the networks within the settings' part of a device; None where nothing bounds them."""
    if settings.network_gib is None or settings.device == "cpu":
        return None
    from mmbench.turns import Turns

    return Turns(int(settings.network_gib * 2**30), torch_device(settings.device))


class _AtFirstFrame:
    """A pass that calls something when the first frame is there."""

    name = "the next clip"

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def start(self, clip: ClipInfo) -> None:
        """Nothing."""

    def feed(self, index: int, frame: Frame) -> None:
        """The call, once a decode."""
        if index == 0:
            self.call()

    def finish(self) -> None:
        """Nothing."""


class _Watched:
    """A pass for the needs of one look. What it raises costs its own needs, not the clip."""

    def __init__(
        self, needs: Sequence[FrameNeed[Any]], makers: Mapping[FrameNeed[Any], Maker[Any]], times: Stopwatch
    ) -> None:
        self._needs, self._makers, self._times = needs, [makers[need] for need in needs], times
        self._look: Look | None = None
        self._fault: Exception | None = None
        self.name = ", ".join(need.name for need in needs)

    def start(self, clip: ClipInfo) -> None:
        """Make the pass and start it."""
        self._look, self._fault = None, None
        with self._watching():
            self._look = self._makers[0].look(self._makers[1:])
            self._look.frames.start(clip)

    def feed(self, index: int, frame: Frame) -> None:
        """Hand the frame on, unless the pass has failed."""
        if self._fault is None and self._look is not None:
            with self._watching():
                self._look.frames.feed(index, frame)

    def finish(self) -> None:
        """Nothing: `results` is asked, once the clip's facts are complete."""

    def results(self, clip: ClipInfo, unmet: dict[Need[Any], Unmet]) -> dict[Need[Any], Any]:
        """What was found, by need; a fault goes to `unmet` instead."""
        found: dict[Need[Any], Any] = {}
        with self._watching():
            if self._fault is None and self._look is not None:
                found.update(zip(self._needs, self._look.results(), strict=True))
                for need, maker in zip(self._needs, self._makers, strict=True):
                    maker.keep(clip, found[need])
        if self._fault is not None:
            unmet.update(dict.fromkeys(self._needs, _unmet(self._fault, self._needs[0])))
        return found

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            with self._times.watch(self.name):
                yield
        except Exception as cause:
            if machine := machine_fault(cause):
                raise machine from cause
            self._fault = cause


def _together(
    makers: Mapping[FrameNeed[Any], Maker[Any]], found: Mapping[Need[Any], Any]
) -> list[list[FrameNeed[Any]]]:
    """The needs still to be met, those that share a look together."""
    groups: dict[Hashable, list[FrameNeed[Any]]] = {}
    for need, maker in makers.items():
        if need not in found:
            groups.setdefault(need if maker.shares is None else maker.shares, []).append(need)
    return list(groups.values())


def _unmet(cause: Exception, need: Need[Any]) -> Unmet:
    """A lack of this machine, or a fault of what should meet the need. Other errors of the user's are raised again."""
    if isinstance(cause, UNAVAILABLE):
        return Unmet(cause.message, cause.remedy)
    if isinstance(cause, MMBenchError):
        raise cause
    if machine := machine_fault(cause):
        raise machine from cause
    return Unmet(*fault(need.name, cause), fault=True)
