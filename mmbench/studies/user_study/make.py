"""A new study from runs: scenes that all models have, sheets, blind clips, and the key kept apart."""

from __future__ import annotations

import random
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.errors import ManifestError, MMBenchError
from mmbench.files import Progress, silent
from mmbench.items import Item
from mmbench.reports.numbers.samples import sorted_rows
from mmbench.reports.several import read_runs
from mmbench.runs.evaluate.rows import ItemRow
from mmbench.studies.user_study.blind import blamed, blind_clip, blind_picture
from mmbench.studies.user_study.design import (
    ASPECTS,
    CONSENT,
    DESIGN,
    KEY,
    MARKS,
    MEDIA,
    PREFERENCE,
    SIDES,
    Answers,
    Kind,
    Question,
    Stimulus,
    StudyDesign,
    StudyKey,
    StudyTask,
    write_part,
)
from mmbench.studies.user_study.plan import PlannedClip, PlanOptions, Shown, plan_sheets
from mmbench.studies.user_study.votes import new_token, open_votes, token_digest

INVITATIONS = "invitations.csv"
CHECK = "This one checks that you are reading: {}, whatever you see and even if nothing plays."
MAX_SHEETS, MAX_TASKS = 10_000, 1_000


@dataclass(frozen=True)
class NewStudy:
    """What to ask, of what. `models`: these alone (all that the runs hold); `scenes`: so many, drawn by the seed.

    `pictures`: show the person's picture beside every clip. `invited`: only holders of an invitation take part.
    """

    kind: Kind = "aspects"
    title: str = "Which videos do you like?"
    consent: str = CONSENT
    questions: tuple[Question, ...] = ()
    models: tuple[str, ...] = ()
    scenes: int | None = None
    pictures: bool = True
    invited: bool = False
    plan: PlanOptions = field(default_factory=PlanOptions)


@dataclass(frozen=True)
class MadeStudy:
    """A study's folder; `notes` say what was left out. `invitations` is the file of links' endings, where asked for."""

    folder: Path
    design: StudyDesign
    notes: tuple[str, ...]
    invitations: Path | None = None


def new_study(
    runs: Sequence[Path], out: Path, options: NewStudy | None = None, progress: Progress = silent
) -> MadeStudy:
    """Make the folder of a blind study of the clips of runs: `study.json`, `key.json`, `media/`, `votes.sqlite`.

    Only scenes (person, prompt) of which every model has a clip are taken, so that all models are judged on the same.
    Sheets are the same for the same rows and seed; names of files are drawn by lot each time. `study.json` comes last:
    without it a folder is no study. Raises ManifestError where `out` is in use, models share no scene, or sizes are out
    of range; MediaError for a clip that is gone or has changed.
    """
    options = options or NewStudy()
    _check(out, options)
    rows = read_runs(runs).rows
    scenes, notes = _scenes(rows, options)
    clips = [(scene, row) for scene, inside in scenes.items() for row in inside]
    sheets = plan_sheets([PlannedClip(row.item.model, scene) for scene, row in clips], options.kind, options.plan)
    names, pictures = _make_media(clips, sheets, out / MEDIA, options, progress)
    study = secrets.token_hex(8)
    design, checks = _design(
        study, sheets, [(row.item, names[i], pictures[i]) for i, (_, row) in enumerate(clips)], options
    )
    tokens = [new_token() for _ in sheets] if options.invited else []
    key = StudyKey(
        id=study,
        seed=options.plan.seed,
        runs=tuple(str(run.resolve()) for run in runs),
        stimuli={
            names[i]: Stimulus(model=row.item.model, item=row.item.id, identity=row.item.identity, scene=scene)
            for i, (scene, row) in enumerate(clips)
            if names[i]
        },
        checks=checks,
        invitations={token_digest(token): sheet for sheet, token in enumerate(tokens)},
        notes=notes,
    )
    write_part(out / KEY, key)
    open_votes(out, design)
    write_part(out / DESIGN, design)
    return MadeStudy(out, design, notes, _write_invitations(out, tokens) if tokens else None)


def _check(out: Path, options: NewStudy) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ManifestError(f"{out}: is in use.", "Name a new folder; delete what an interrupted `study new` left.")
    plan = options.plan
    if not (1 <= plan.sheets <= MAX_SHEETS and 1 <= plan.tasks <= MAX_TASKS and plan.repeats >= 0 and plan.checks >= 0):
        raise ManifestError(
            f"A study of {plan.sheets} sheets with {plan.tasks} tasks, {plan.repeats} repeats, {plan.checks} checks.",
            f"Up to {MAX_SHEETS} sheets of up to {MAX_TASKS} tasks, repeats and checks from 0.",
        )


def _scenes(rows: Sequence[ItemRow], options: NewStudy) -> tuple[dict[str, list[ItemRow]], tuple[str, ...]]:
    """Rows by scene, a row a model, the same number of each; and what was left out."""
    known = sorted({row.item.model for row in rows})
    if strangers := sorted(set(options.models) - set(known)):
        raise ManifestError(f"The runs hold no model {', '.join(strangers)}.", f"They hold {', '.join(known)}.")
    models = sorted(set(options.models)) or known
    if options.kind == "pairs" and len(models) < 2:
        raise ManifestError("Pairs need two models.", "Name a run with more models, or several runs.")
    found: dict[str, dict[str, ItemRow]] = defaultdict(dict)
    count: dict[tuple[str, str], int] = defaultdict(int)
    usable = [row for row in sorted_rows(rows) if row.item.model in models and row.error is None]
    for row in usable:
        item = row.item
        said = f"{item.identity} | {'' if item.prompt_index is None else item.prompt_index} | {item.prompt or ''}"
        count[said, item.model] += 1  # several seeds: the first ones are compared with each other, and so on
        found[f"{said} | {count[said, item.model]}"][item.model] = row
    whole = {scene: inside for scene, inside in sorted(found.items()) if len(inside) == len(models)}
    if not whole:
        raise ManifestError(
            f"No person and prompt has a usable clip of each of {', '.join(models)}.",
            "Name models (--model) that were run on the same test set.",
        )
    left = len(usable) - len(whole) * len(models)
    notes = [f"{left} clips are left out: not every model has one of that person and prompt"] if left else []
    broken = sum(row.error is not None and row.item.model in models for row in rows)
    notes += [f"{broken} clips are left out: they could not be read when they were measured"] if broken else []
    names = list(whole)
    if options.scenes is not None and options.scenes < len(names):
        drawn = random.Random(f"mmbench scenes {options.plan.seed}").sample(names, options.scenes)
        notes.append(f"{options.scenes} of {len(names)} scenes were drawn")
        names = sorted(drawn)
    return {scene: [whole[scene][model] for model in models] for scene in names}, tuple(notes)


def _make_media(
    clips: Sequence[tuple[str, ItemRow]],
    sheets: Sequence[Sequence[Shown]],
    folder: Path,
    options: NewStudy,
    progress: Progress,
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Blind names of the clips that come up, "" for others, and of the pictures beside each."""
    used = sorted({place for sheet in sheets for shown in sheet for place in shown if place >= 0})
    names = [""] * len(clips)
    known: dict[str, Path] = {}
    for scene, row in clips if options.pictures else ():
        for picture in (*row.item.shown[:1], *row.item.references[:1]):
            known.setdefault(scene, picture)  # one for all models, whatever each of them was given
    faces: dict[Path, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    # In random order: on some disks the order of a folder is that of writing.
    for done, place in enumerate(random.SystemRandom().sample(used, len(used))):
        progress(done, len(used), "clips")
        scene, row = clips[place]
        try:
            fps, sha256 = row.item.fps, row.clip.sha256 if row.clip else ""
            names[place] = blind_clip(row.item.video, folder, fps=fps, sha256=sha256)
            if scene in known and known[scene] not in faces:
                faces[known[scene]] = blind_picture(known[scene], folder)
        except MMBenchError as cause:
            raise blamed(row.item.id, cause) from cause
    progress(len(used), len(used), "clips")
    return names, [(faces[known[scene]],) if known.get(scene) in faces else () for scene, _ in clips]


def _design(
    study: str,
    sheets: Sequence[Sequence[Shown]],
    clips: Sequence[tuple[Item, str, tuple[str, ...]]],
    options: NewStudy,
) -> tuple[StudyDesign, dict[int, Answers]]:
    """The public part, and the right answers of its checks by task."""
    questions = options.questions or (ASPECTS if options.kind == "aspects" else PREFERENCE)
    rng = random.Random(f"mmbench checks {options.plan.seed}")
    tasks: list[StudyTask] = []
    checks: dict[int, Answers] = {}
    places: dict[Shown, int] = {}
    numbered: list[tuple[int, ...]] = []
    for sheet in sheets:
        ordinary = [shown for shown in sheet if shown[0] >= 0]
        numbers = []
        for shown in sheet:
            if shown[0] < 0:  # an attention check shows clips like any others and asks for a certain answer
                item_shown = rng.choice(ordinary)
                instruction, answers = _check_task(options.kind, questions, rng)
                checks[len(tasks)] = answers
                tasks.append(_task(item_shown, clips, instruction))
                numbers.append(len(tasks) - 1)
                continue
            if shown not in places:
                places[shown] = len(tasks)
                tasks.append(_task(shown, clips))
            numbers.append(places[shown])
        numbered.append(tuple(numbers))
    design = StudyDesign(
        id=study,
        kind=options.kind,
        title=options.title,
        consent=options.consent,
        questions=questions,
        tasks=tuple(tasks),
        sheets=tuple(numbered),
        invited=options.invited,
    )
    return design, checks


def _task(shown: Shown, clips: Sequence[tuple[Item, str, tuple[str, ...]]], instruction: str = "") -> StudyTask:
    item, _, pictures = clips[shown[0]]
    names = tuple(clips[place][1] for place in shown)
    return StudyTask(clips=names, pictures=pictures, prompt=item.prompt or "", instruction=instruction)


def _check_task(kind: Kind, questions: Sequence[Question], rng: random.Random) -> tuple[str, Answers]:
    if kind == "aspects":
        mark = rng.randint(*MARKS)
        wanted = f"please give {mark} to every question"
        return CHECK.format(wanted), {question.id: mark for question in questions}
    side = rng.choice(SIDES)
    named = {"left": "clip A", "tie": "no difference", "right": "clip B"}[side]
    return CHECK.format(f"please choose {named}"), {question.id: side for question in questions}


def _write_invitations(out: Path, tokens: Sequence[str]) -> Path:
    """What to put behind the page's address, one line a rater; the only place where the tokens stand."""
    path = out / INVITATIONS
    path.touch(0o600)
    path.write_text("sheet,link\n" + "".join(f"{n},#invitation={t}\n" for n, t in enumerate(tokens)), encoding="utf-8")
    return path
