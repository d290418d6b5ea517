"""Does a submission hold? Its files, versions, test set, weights and settings, told without decoding a clip.

Every number of a row says by a digest what it was made of (`mmbench.runs.evaluate.inputs`). Here that digest is made
again from the test set as it is here, the board's settings and this version's metrics: a number that was made with
other pictures, prompts, settings, weights or another version of a metric has another one. What a digest cannot tell is
whether somebody wrote a number by hand; `mmbench.runs.submit.measure` measures the clips that were sent.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmbench.config import BoardSettings, EvaluateSettings
from mmbench.errors import ManifestError, MMBenchError
from mmbench.files import NamedByContent, sha256_file
from mmbench.items import Item
from mmbench.metrics.base import DerivedMetric, Metric, SetMetric
from mmbench.metrics.registry import facts_by_name
from mmbench.names import few
from mmbench.runs.evaluate.clip import file_digest, make_metrics
from mmbench.runs.evaluate.inputs import Inputs, clip_key, derived_key, digest_of, score_key
from mmbench.runs.evaluate.rows import ItemRow, SetRow
from mmbench.runs.submit.format import (
    CLIPS,
    MOST_BYTES,
    MOST_CLIP_BYTES,
    REMEDY,
    ROWS,
    Card,
    chosen,
    digest_of_testset,
    files_of,
    read_card,
    read_packed_rows,
)
from mmbench.scores import Score
from mmbench.testsets.load import load_testset
from mmbench.testsets.types import Identity, TestSet
from mmbench.trigger import without_trigger

MEASURE_AGAIN = "Evaluate again with this version and the board's settings, and pack that run."
LONGEST_NAME = 80
CONDITIONAL = frozenset({"fm_ref_cond"})
"""Numbers that only some clips have: those that began with a given picture."""
LARGEST, ROUNDING = 1e12, 1e-6
"""What no number exceeds, and by how much one may lie beyond its column's range."""


@dataclass(frozen=True)
class Checked:
    """A submission that was read. `rows` are of the test set as it is here; `faults` say why it cannot join a board.

    Of a submission that cannot even be read, `card` is None. `notes` are worth knowing and no fault.
    """

    folder: Path
    card: Card | None = None
    rows: tuple[ItemRow, ...] = ()
    sets: tuple[SetRow, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether it may join."""
        return not self.faults


@dataclass
class _Findings:
    """Faults, those of one kind told once with their number and the first of them."""

    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, what: str, where: str = "") -> None:
        self.found[what].append(where)

    def told(self) -> tuple[str, ...]:
        return tuple(
            f"{what}: {few([one for one in where if one], 3)}." if any(where) else f"{what}."
            for what, where in self.found.items()
        )


def check(folder: Path, rules: BoardSettings) -> Checked:
    """Hold a submission against a board's rules. Nothing is decoded, nothing loaded; see the module.

    Raises ManifestError for rules that cannot be: a test set that is not here, a metric that is not installed.
    """
    testset = load_testset(rules.testset)
    metrics = make_metrics(rules.evaluate)
    try:
        card = read_card(folder)
        _check_files(folder, card)
        lines = list(read_packed_rows(folder / ROWS))
    except MMBenchError as cause:
        return Checked(folder, faults=(f"{cause.message} {cause.remedy}".strip(),))
    except OSError as cause:
        return Checked(folder, faults=(f"{cause.filename}: {cause.strerror}.",))
    faults = _Findings()
    _check_card(folder, card, rules, testset, faults)
    people = {one.id: one for one in testset.identities}
    sent = [row for row in lines if isinstance(row, ItemRow)]
    rows = [_of_testset(row, people, metrics, faults) for row in sent]
    sets = [_asked(row, metrics) for row in lines if isinstance(row, SetRow)]
    _check_names(card, rows, sets, faults)
    for model in dict.fromkeys(row.item.model for row in rows):
        of_model = [row for row in rows if row.item.model == model]
        _check_coverage(model, of_model, testset, rules, faults)
        _check_clips(folder, card, model, of_model, rules, faults)
    _check_scores(rows, sets, metrics, faults)
    if not faults.found:  # else other digests are only what has been said in other words
        _check_digests(card, rows, sets, metrics, faults)
    return Checked(folder, card, tuple(rows), tuple(sets), faults.told(), _notes(card, rows, sets))


def _check_files(folder: Path, card: Card) -> None:
    """Raises ManifestError where a file is another one than the card says."""
    found = dict(files_of(folder))
    if other := sorted(set(found) ^ set(card.files)):
        raise ManifestError(f"{folder}: the card and the folder name other files: {few(other)}.", REMEDY)
    for name, path in found.items():
        said, size = card.files[name], path.stat().st_size
        if size > MOST_BYTES.get(name, MOST_CLIP_BYTES):
            raise ManifestError(f"{path}: has {size} bytes, more than a submission's file may have.", REMEDY)
        if size != said.bytes or sha256_file(path) != said.sha256:
            raise ManifestError(f"{path}: is another file than the card says.", REMEDY)
    if ROWS not in found:
        raise ManifestError(f"{folder}: has no {ROWS}.", REMEDY)


def _check_card(folder: Path, card: Card, rules: BoardSettings, testset: TestSet, faults: _Findings) -> None:
    if card.name != folder.resolve().name:
        faults.add(f"its card calls it {card.name!r}, and its folder {folder.resolve().name!r}")
    if card.testset_sha256 != digest_of_testset(testset):
        faults.add(f"its test set ({card.testset}) is another {rules.testset} than the one here")
    ours, theirs = _comparable(rules.evaluate), _comparable(card.settings)
    for name in ours:
        if ours[name] != theirs[name]:
            faults.add(
                f"measured with {name} {theirs[name]}, and the board asks for {ours[name]}. {MEASURE_AGAIN[:-1]}"
            )


def _comparable(settings: EvaluateSettings) -> dict[str, object]:
    """What has to be the same for numbers to be comparable: not the machine, and not which columns else there are."""
    return settings.model_dump(mode="json", exclude={"metrics", "limits", "device"})


def _of_testset(
    row: ItemRow, people: Mapping[str, Identity], metrics: Mapping[str, Metric], faults: _Findings
) -> ItemRow:
    """The row with the pictures and the group that the test set here has, and the scores that the board asks for."""
    item, person = row.item, people.get(row.item.identity)
    asked = replace(row, scores=tuple(_asked_scores(row.scores, metrics)))
    if person is None:
        faults.add("the test set has no such person", item.identity)
        return asked
    index = _prompt_index(item, person)
    if index is None:
        faults.add("no prompt of the test set", f"{item.id} ({(item.prompt or 'none')[:60]})")
    files = [path for path in (item.video, item.condition) if path is not None]
    if not all(_is_packed(path) for path in files):
        faults.add("a row names a file that is none of the submission's", item.id)
        item = replace(item, video=Path(CLIPS, "none"), condition=None)
    item = replace(
        item,
        references=person.references,
        shown=person.shown,
        group=person.group or None,
        prompt_index=index,
    )
    return replace(asked, item=item)


def _is_packed(path: Path) -> bool:
    return re.fullmatch(rf"{CLIPS}/([0-9]{{5}}|[0-9a-f]{{64}})(\.[a-z0-9]{{1,7}})?", str(path)) is not None


def _prompt_index(item: Item, person: Identity) -> int | None:
    """Which of the person's prompts the item's texts are."""
    for prompt in person.prompts:
        long = {without_trigger(prompt.long), without_trigger(prompt.face), None}
        said = item.prompt == without_trigger(prompt.short) and item.prompt_long in long
        if said and item.prompt_index in (None, prompt.index):
            return prompt.index
    return None


def _asked_scores(scores: Iterable[Score], metrics: Mapping[str, Metric]) -> list[Score]:
    names = {facts.name for metric in metrics.values() for facts in metric.all_facts()}
    return [score for score in scores if score.metric in names]


def _asked(row: SetRow, metrics: Mapping[str, Metric]) -> SetRow:
    return replace(row, scores=tuple(_asked_scores(row.scores, metrics)))


def _check_names(card: Card, rows: Sequence[ItemRow], sets: Sequence[SetRow], faults: _Findings) -> None:
    """Names are printed on a page that many read."""
    models = {row.item.model for row in rows}
    if models != set(card.models) or not {row.model for row in sets} <= models:
        faults.add("its card names other models than its rows")
    for model in sorted(models):
        if not model.strip() or model != model.strip() or len(model) > LONGEST_NAME or not model.isprintable():
            faults.add(f"a model's name is empty, longer than {LONGEST_NAME} characters or not printable", repr(model))
    ids = Counter(row.item.id for row in rows)
    for name, count in ids.items():
        if count > 1 or not name.isprintable() or len(name) > 4 * LONGEST_NAME:
            faults.add("the name of a clip stands twice, is too long or cannot be printed", repr(name))


def _check_coverage(
    model: str, rows: Sequence[ItemRow], testset: TestSet, rules: BoardSettings, faults: _Findings
) -> None:
    """Every person, every prompt that is asked for, and as many videos of each: else the best of many could be sent."""
    counts = Counter((row.item.identity, row.item.prompt_index, row.item.extra.get("prompt_form", "")) for row in rows)
    if len(set(counts.values())) > 1:
        most, least = counts.most_common()[0], counts.most_common()[-1]
        faults.add(f"{model}: {most[1]} videos of {most[0][0]}, prompt {most[0][1]}, and {least[1]} of {least[0][0]}")
    prompts: dict[str, set[int | None]] = defaultdict(set)
    for identity, index, _ in counts:
        prompts[identity].add(index)
    for person in testset.identities:
        asked = min(len(person.prompts), rules.prompts_per_identity or len(person.prompts))
        if len(prompts[person.id]) < asked:
            faults.add(f"{model} lacks videos: of {asked} prompts a person are asked", person.id)


def _check_clips(
    folder: Path, card: Card, model: str, rows: Sequence[ItemRow], rules: BoardSettings, faults: _Findings
) -> None:
    """The chosen videos and the pictures they began with are there, and are the ones that were measured."""
    for row in chosen(rows, rules.clips):
        video, condition = row.item.video.as_posix(), row.item.condition
        inside = any(name == video or name.startswith(f"{video}/") for name in card.files)
        if row.clip is None or not inside or (condition is not None and condition.as_posix() not in card.files):
            faults.add(f"{model}: the board asks for {rules.clips} of its videos, and lacks", row.item.id)
        elif file_digest(folder / video) != row.clip.sha256:
            faults.add(f"{model}: a video is another one than was measured", row.item.id)
        elif condition is not None and card.files[condition.as_posix()].sha256 != condition.stem:
            faults.add(f"{model}: a first frame is another one than the video began with", row.item.id)


def _check_scores(
    rows: Sequence[ItemRow], sets: Sequence[SetRow], metrics: Mapping[str, Metric], faults: _Findings
) -> None:
    """Every number that is asked for is there, once, possible, and of trained networks."""
    facts = facts_by_name()
    of_clips = {name for metric in metrics.values() if not isinstance(metric, SetMetric) for name in _named(metric)}
    of_sets = {name for metric in metrics.values() if isinstance(metric, SetMetric) for name in _named(metric)}
    owners = [(row.item.id, row.scores, of_clips) for row in rows if row.error is None]
    owners += [(row.model, row.scores, of_sets) for row in sets]
    for owner, scores, asked in owners:
        given = {score.metric for score in scores}
        if not asked - CONDITIONAL <= given or len(scores) != len(given):
            faults.add(f"lacks numbers that the board asks for, or has one twice. {MEASURE_AGAIN[:-1]}", owner)
        for score in scores:
            if score.status == "error" or score.unmet:
                faults.add(f"{score.metric} could not be measured ({score.reason[:200]})", owner)
            lowest, highest = facts[score.metric].range
            low, high = (-LARGEST if lowest is None else lowest), (LARGEST if highest is None else highest)
            if score.value is not None and not low - ROUNDING <= score.value <= high + ROUNDING:
                faults.add(f"{score.metric} of {score.value:.6g} is no possible value", owner)
            if score.provenance is not None and score.provenance.random_weights:
                faults.add(f"{score.metric} is of an untrained network", owner)
    if of_sets and {row.model for row in sets} != {row.item.model for row in rows}:
        faults.add("lacks the numbers of its models' sets")


def _named(metric: Metric) -> list[str]:
    return [facts.name for facts in metric.all_facts()]


def _check_digests(
    card: Card, rows: Sequence[ItemRow], sets: Sequence[SetRow], metrics: Mapping[str, Metric], faults: _Findings
) -> None:
    """What each number says that it was made of is what the test set, the settings and the metrics here make it of."""
    names = tuple(metrics)
    settings = card.settings.model_copy(update={"metrics": names})
    own = make_metrics(settings)
    items = {row.item.id: _by_content(row.item) for row in rows}
    inputs = Inputs(settings, own, list(items.values()))
    parts = {name: inputs.parts(item) for name, item in items.items()}
    other = (
        f"made of something else than this test set, these settings and this version's weights. {MEASURE_AGAIN[:-1]}"
    )
    for row in rows:
        digest = row.clip.sha256 if row.clip else ""
        if row.clip and row.clip.inputs != clip_key(row.item, digest, inputs.limits):
            faults.add(f"frames were read by another version or at another rate. {MEASURE_AGAIN[:-1]}", row.item.id)
        said = {score.metric: score.inputs for score in row.scores}
        for name, metric in own.items():
            if isinstance(metric, SetMetric) or row.error is not None:
                continue
            part = parts[row.item.id][name]
            key = derived_key(part, metric, said) if isinstance(metric, DerivedMetric) else score_key(part, digest)
            if any(said.get(one, key) != key for one in _named(metric)):
                faults.add(f"{name} is {other}", row.item.id)
    for of_model in sets:
        clips = sorted(
            (row for row in rows if row.item.model == of_model.model and row.clip), key=lambda row: row.item.order
        )
        for name, metric in own.items():
            if isinstance(metric, SetMetric):
                keys = [score_key(parts[row.item.id][name], row.clip.sha256 if row.clip else "") for row in clips]
                made = [score.inputs for score in of_model.scores if score.metric in _named(metric)]
                if set(made) != {digest_of([name, keys])}:
                    faults.add(f"{name} is {other}", of_model.model)


def _by_content(item: Item) -> Item:
    """The item with a first frame whose name says its bytes: few of them came."""
    return replace(item, condition=NamedByContent(item.condition)) if item.condition is not None else item


def _notes(card: Card, rows: Sequence[ItemRow], sets: Sequence[SetRow]) -> tuple[str, ...]:
    from mmbench.runs.evaluate.record import library_versions

    here = library_versions()
    notes = [f"{sum(row.error is not None for row in rows)} of its videos could not be measured"]
    other = [
        f"{name} {card.versions[name]} (here {here[name]})"
        for name in here
        if card.versions.get(name, here[name]) != here[name]
    ]
    return tuple(
        note
        for note in (
            *(notes if any(row.error for row in rows) else ()),
            *([f"measured with other libraries: {few(other, 20)}"] if other else []),
        )
    )
