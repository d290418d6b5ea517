"""Does this installation give the numbers it gave where it was made? Every column that can run, on bundled clips."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmbench.config import EvaluateSettings
from mmbench.errors import ManifestError, MMBenchError
from mmbench.files import Progress, read_json, sha256_file, silent, write_json
from mmbench.metrics.base import NoEvidence, SetMetric
from mmbench.metrics.registry import BUILT_IN, OFFICIAL, metric_class
from mmbench.runs.memory.scorer import Scorer
from mmbench.scores import Score
from mmbench.version import __version__

COMMITTED = Path(__file__).parent / "selftest.json"
PERSON = "man-01"
PEOPLE = (PERSON, "woman-05", "girl-03")
SYSTEMS = ("truth", "copy-paste", "vanish")
SET_CLIPS = 10

WITHIN = {"dlib": 2e-3, "dis": 2e-3, "farneback": 2e-3}
"""How far numbers by these may lie from the committed ones, of the number's size or of 1, whichever is larger.

Measured between dlib 19.24.6 with OpenCV 4.10 and dlib 20.0.1 with OpenCV 5.0, on one processor: DIS 2.2e-4 at most
(in `motion_smoothness`), dlib and Farneback 0. What is above that is left for other processors, which nobody
measured. Others, networks in full precision, get `USUAL`.
"""
USUAL = 1e-3

GOLDEN_CLIP = "097770febad0f143da9dd66c1973dfbd49736255eea573da3ff07ace777758f8"
GOLDEN = {"facesim_cur_opens2v": 0.9420197624713182, "facesim_arc_opens2v": 0.9367029462009668}
"""What OpenS2V-Nexus publishes for its demonstration clip `singleface_3.mp4` and `crop_man/11.jpg` of its data set."""
GOLDEN_WITHIN = 5e-4

State = Literal["ok", "differs", "new", "missing", "error"]


@dataclass(frozen=True)
class Check:
    """One number of one clip, and what became of it.

    "ok" or "differs" from `expected` (within `within`), "new" where nothing is committed for what made it, "missing" or
    "error" with the reason in `text`, which else names what made it.
    """

    state: State
    column: str
    clip: str
    value: float | None = None
    expected: float | None = None
    within: float | None = None
    text: str = ""


@dataclass(frozen=True)
class SelfTest:
    """All checks, and what they were made with: `versions` of libraries by name, and the device."""

    checks: tuple[Check, ...]
    versions: Mapping[str, str]
    device: str

    @property
    def sound(self) -> bool:
        """Whether nothing differs and nothing failed."""
        return not any(check.state in ("differs", "error") for check in self.checks)


def selftest(
    device: str = "cpu",
    against: Path = COMMITTED,
    golden: tuple[Path, Path] | None = None,
    progress: Progress = silent,
) -> SelfTest:
    """Measure the bundled clips by every column whose networks are here, and compare.

    `against` is a file of `write`; `golden` is OpenS2V's demonstration clip and its reference picture. Raises
    ManifestError for a file of another kind, MMBenchError for another golden clip.
    """
    known = _read(against)
    found = _measured(device, progress)
    if golden is not None:
        found += _golden(device, golden)
    checks = [_check(clip, score, known) for clip, score in found]
    versions = {"mmbench": __version__, "python": platform.python_version()}
    for _, score in found:
        versions.update(score.provenance.versions if score.provenance else {})
    return SelfTest(tuple(checks), dict(sorted(versions.items())), device)


def write(result: SelfTest, path: Path) -> None:
    """Keep a run's numbers, for `selftest(against=path)` on another machine or after a change."""
    numbers: dict[str, dict[str, Any]] = {}
    for check in result.checks:
        if check.value is not None and check.clip != "golden":
            numbers.setdefault(check.clip, {})[check.column] = [check.value, check.text]
    write_json(path, {"mmbench": __version__, "device": result.device, "versions": result.versions, "numbers": numbers})


def _measured(device: str, progress: Progress) -> list[tuple[str, Score]]:
    """Scores of the bundled clips; DIS flow stands in where RAFT's file is not here."""
    from mmbench.testsets.load import load_testset

    testset = load_testset("synthetic50")
    people = {one.id: one for one in testset.identities if one.id in PEOPLE}
    person = people[PERSON]
    names = [name for name in (*BUILT_IN, *OFFICIAL) if not issubclass(metric_class(name), SetMetric)]
    settings = EvaluateSettings.filled(device=device, flow={"backend": "raft" if _here("raft-things") else "dis"})
    everybody = {name: list(one.references) for name, one in people.items()}
    scorer = Scorer(tuple(names), settings, everybody, {name: one.group for name, one in people.items()})
    found = []
    for done, system in enumerate(SYSTEMS, start=1):
        (clip,) = sorted((testset.folder / "controls" / system).glob(f"{PERSON}_*.mp4"))
        prompt = person.prompts[int(clip.stem.rsplit("_", 1)[1])].short
        given = {"identity": PERSON, "references": list(person.references), "shown": list(person.shown)}
        found += [(system, score) for score in scorer(clip, prompt=prompt, **given).values()]
        progress(done, len(SYSTEMS), "clips")
    clips = sorted((testset.folder / "controls" / "truth").glob("*.mp4"))[:SET_CLIPS]
    return [*found, *(("set", score) for score in _of_sets(settings, clips))]


def _of_sets(settings: EvaluateSettings, clips: Sequence[Path]) -> Iterator[Score]:
    for name in BUILT_IN:
        if issubclass(metric_class(name), SetMetric):
            scorer = Scorer((name,), settings)
            try:
                yield from scorer.of_set(name, [scorer.features(name, clip) for clip in clips])
            except NoEvidence:
                lacking = [str(why) for need in metric_class(name).needs if (why := _lack(need, settings))]
                yield Score.missing(name, " ".join(lacking) or "nothing meets its needs", "")


def _lack(need: Any, settings: EvaluateSettings) -> MMBenchError | None:
    try:
        need.check(settings)
    except MMBenchError as cause:
        return cause
    return None


def _here(name: str) -> bool:
    from mmbench.weights import locate

    return locate(name) is not None


def _golden(device: str, pair: tuple[Path, Path]) -> list[tuple[str, Score]]:
    """FaceSim of OpenS2V's own example."""
    clip, picture = pair
    if (digest := sha256_file(clip)) != GOLDEN_CLIP:
        raise MMBenchError(
            f"{clip} is not OpenS2V's demonstration clip (sha256 {digest[:12]}...).",
            "Give eval/demo_result/model_name_input_video/singleface_3.mp4 of OpenS2V-Nexus, and crop_man/11.jpg.",
        )
    scorer = Scorer(("facesim_arc", "facesim_cur"), EvaluateSettings(device=device))
    found = scorer(clip, references=[picture])
    return [("golden", found[name]) for name in GOLDEN]


def _check(clip: str, score: Score, known: Mapping[str, Mapping[str, Sequence[Any]]]) -> Check:
    if score.value is None:
        state: State = "error" if score.status == "error" else "missing"
        return Check(state, score.metric, clip, text=f"{score.reason} {score.remedy}".strip())
    backend = score.provenance.backend if score.provenance else ""
    if clip == "golden":
        expected, far = GOLDEN[score.metric], GOLDEN_WITHIN
    else:
        kept = known.get(clip, {}).get(score.metric)
        if kept is None or kept[1] != backend:
            return Check("new", score.metric, clip, score.value, text=backend)
        expected = float(kept[0])
        far = within(backend, expected)
    state = "ok" if abs(score.value - expected) <= far else "differs"
    return Check(state, score.metric, clip, score.value, expected, far, backend)


def within(backend: str, expected: float) -> float:
    """How far a number by this backend may lie from `expected` on another machine."""
    return WITHIN.get(backend.split("+")[-1], USUAL) * max(1.0, abs(expected))


def _read(path: Path) -> Mapping[str, Mapping[str, Sequence[Any]]]:
    document = read_json(path, "Give a file that `mmbench selftest --write FILE` wrote.")
    numbers = document.get("numbers") if isinstance(document, dict) else None
    if not isinstance(numbers, dict):
        raise ManifestError(
            f"{path} holds no numbers of a self-test.", "Give a file of `mmbench selftest --write FILE`."
        )
    return numbers
