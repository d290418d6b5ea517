"""Writes CARD.md, the data card, from measurements taken when it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mmbench.files import Progress, write_json
from mmbench.studies.synthetic50.measure import CardLine, View, look_at, table
from mmbench.studies.synthetic50.members import CRF, FPS, FRAMES, SIZE, Member
from mmbench.studies.synthetic50.screen import NEAR_OTHER, NEAR_SAME, WANTED, YAWS
from mmbench.synth.identity import GROUPS, Group
from mmbench.synth.raster import default_backend

VIEWS = 8

# ruff: noqa: E501 - tables
_HEAD = """# synthetic50: fifty people who do not exist

*Written by `python -m mmbench.studies.synthetic50.build --only card`; the numbers are measured, not typed.*

Fifty rendered people in the seven groups of the benchmark (8 men, 8 women, 7 elderly men, 7 elderly women, 7 boys, 7
girls, 6 babies). No photograph, scan or likeness of a person is involved: the shapes come from the CC0 base mesh and
morph targets of MakeHuman, drawn at random round a template of the group, and everything else (skin, brows, eyes, hair
colour, clothes, light, backdrop) is painted by `mmbench.synth`. Anyone may hold, show and change the pictures (CC0-1.0,
see LICENSE).

| file | what |
|---|---|
| `identities.json` | group, sampler seed, class word and references of every identity |
| `references/<identity>/<n>.jpg` | {n_references} stills, 1-4 an identity, 256-384 pixels, each with its own light, backdrop and clothes |
| `prompts.csv` | four prompts an identity, short and long, trigger word `img` after the class word |
| `controls/<system>/<identity>_<prompt>.mp4` | {n_clips} clips of eight control systems, {frames} frames, {side}x{side}, {fps} frames a second, H.264 crf {crf} |
| `manifest.csv` | one line a clip, ready for `mmbench evaluate --manifest` |

References and clips of a person never share light, backdrop or clothes (but `copy-paste`, which is made of a reference). What the systems do and how they must rank:
`mmbench/synth/control.py`. All files together: {megabytes:.1f} MB.

## Measured with dlib on fresh views

{views} views an identity that appear nowhere in the set: yaw within 30 degrees, pitch 10, roll 8, eight
expressions, own light, clothes and backdrop, 256x256 ({backend} back end). HOG: dlib's HOG detector, one
upsampling, box around the true face centre. + CNN: mmod CNN where HOG missed. EER: equal error rate of
dlib's 128-d descriptor, all pairs of found faces, and its distance. Landmarks: five points against the
truth, percent of the inter-ocular distance.

"""

_SCREEN = """
## How the fifty were chosen

Candidates were drawn in seed order. A candidate stays when dlib's HOG detector finds the face at yaw {yaws} (neutral,
plain light), and is taken when the mean descriptor of those views is at least {same} from everyone already taken in the
group and {other} from everyone else (Euclidean). Detector and recogniser of the screening are those of the evaluation
above, which flatters it; the views are fresh. **Unscreened**, the first seeds of every group (same numbers, same
protocol, other views) give:

"""

_TAIL = """
## Can they be told apart by what is around the face?

A control recognises people from colour histograms alone: from backdrop and clothes (true labels), the equal error rate
above all views is {around:.0f} % (chance is 50 %); from the hair, which does belong to an identity, {hair:.0f} %.

## What they are not

- Rendered faces sit in one corner of the descriptor's space: strangers lie nearer to each other than photographs of
  strangers do. dlib's usual threshold of 0.6 accepts far too much here; use the distance in the table.
- Groups describe how the kit's axes were set, not people. Skin tones and shapes vary within every group, but the set is
  no sample of any population, and nothing about real people follows from it.
- The true landmarks are right by construction (they are mesh points); the landmark error is dlib's. To prove a metric,
  use the truth (`mmbench synth render --truth`); to see what detection adds, use the clips.
- Expressions, hair and cloth are simple. A generator that looks better than these clips is not penalised by any metric
  that compares identities, only by one that compares pictures.
"""


def _numbers(row: CardLine) -> dict[str, float | str | None]:
    """A row for JSON, which has no NaN."""
    return {key: None if value != value else value for key, value in asdict(row).items()}


def _lines(rows: Sequence[CardLine]) -> str:
    text = "| group | people | views | HOG % | + CNN % | EER % | at distance | landmarks mean | median | p90 |\n"
    text += "|---|---|---|---|---|---|---|---|---|---|\n"
    for r in rows:
        text += f"| {r.label} | {r.people} | {r.views} | {r.hog:.1f} | {r.cnn:.1f} | {r.eer:.2f} | {r.threshold:.3f} "
        text += f"| {r.error_mean:.1f} | {r.error_median:.1f} | {r.error_p90:.1f} |\n"
    return text


def _by_yaw(seen: Sequence[View]) -> str:
    parts = []
    for low, high in ((0, 10), (10, 20), (20, 30)):
        some = [v.hog for v in seen if low <= abs(v.yaw) < high]
        parts.append(f"{100 * sum(some) / max(len(some), 1):.1f} % at {low}-{high} degrees")
    return "HOG by absolute yaw: " + ", ".join(parts) + ".\n"


def write_card(out: Path, fifty: Sequence[Member], say: Progress, views: int = VIEWS) -> None:
    """Measure the set and the unscreened first seeds of every group; write measured.json and CARD.md."""
    chosen = look_at([(m.group, m.seed) for m in fifty], views, say)
    plain: list[tuple[Group, int]] = [(g, s) for g in GROUPS for s in range(WANTED[g])]
    compose(out, chosen, look_at(plain, max(views // 2, 2), say, salt=7))


def compose(out: Path, chosen: Sequence[View], unscreened: Sequence[View]) -> None:
    """The card's text from views already taken."""
    views = len(chosen) // len({(v.group, v.seed) for v in chosen})
    rows, plain_rows = table(chosen), table(unscreened)
    document = {"screened": [_numbers(r) for r in rows], "unscreened": [_numbers(r) for r in plain_rows]}
    write_json(out / "measured.json", document)
    files = [p for p in out.rglob("*") if p.suffix in (".jpg", ".mp4", ".csv", ".json")]
    text = _HEAD.format(
        n_references=len(list((out / "references").rglob("*.jpg"))),
        n_clips=len(list((out / "controls").rglob("*.mp4"))),
        frames=FRAMES,
        side=SIZE,
        fps=FPS,
        crf=CRF,
        megabytes=sum(p.stat().st_size for p in files) / 1e6,
        views=views,
        backend=default_backend(),
    )
    text += _lines(rows) + "\n" + _by_yaw(chosen)
    text += _SCREEN.format(yaws=", ".join(f"{y:+.0f}" for y in YAWS), same=NEAR_SAME, other=NEAR_OTHER)
    text += _lines(plain_rows)
    text += _TAIL.format(around=rows[0].surroundings_eer, hair=rows[0].hair_eer)
    (out / "CARD.md").write_text(text, encoding="utf-8")
