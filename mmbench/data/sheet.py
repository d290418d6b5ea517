"""A contact sheet of what each filter dropped, with what it measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmbench.data.build import counts
from mmbench.data.ledger import Ledger
from mmbench.data.types import Dropped
from mmbench.errors import MMBenchError
from mmbench.files import whole
from mmbench.video.endings import is_video
from mmbench.video.image import read_image
from mmbench.video.read import open_clip

if TYPE_CHECKING:
    from PIL.Image import Image

MARGIN, LINE = 8, 14


def contact_sheet(out: Path, each: int = 8, side: int = 160) -> Image:
    """RGB picture: a row for every filter that dropped something, with up to `each` examples spread over them all."""
    from PIL import Image as pillow
    from PIL import ImageDraw

    rows = list(_dropped(out, each).items())
    cell = (side + MARGIN, side + LINE + MARGIN)
    columns = max((len(examples) for _, examples in rows), default=1)
    sheet = pillow.new(
        "RGB", (max(2, columns) * cell[0] + MARGIN, max(1, len(rows)) * (cell[1] + LINE) + MARGIN), "white"
    )
    draw = ImageDraw.Draw(sheet)
    if not rows:
        draw.text((MARGIN, MARGIN), "nothing was dropped", fill="black")
    for number, (title, examples) in enumerate(rows):
        y = MARGIN + number * (cell[1] + LINE)
        draw.text((MARGIN, y), title, fill="black")
        for place, (dropped, folder) in enumerate(examples):
            x = MARGIN + place * cell[0]
            if (picture := _thumbnail(folder, dropped, side)) is not None:
                sheet.paste(picture, (x, y + LINE))
            value = f"{dropped.value:g}" if isinstance(dropped.value, float) else str(dropped.value)
            said = f"{dropped.key} {value}".encode("ascii", "replace").decode()
            draw.text((x, y + LINE + side), said[: side // 6], fill="black")
    return sheet


def write_contact_sheet(out: Path, path: Path, each: int = 8) -> Path:
    """Write `contact_sheet` as a PNG and return its path."""
    with whole(path) as part:
        contact_sheet(out, each).save(part, "PNG")
    return path


def _dropped(out: Path, each: int) -> dict[str, list[tuple[Dropped, Path]]]:
    """Examples by "SOURCE, stage: filter (count)", taken at even distances."""
    found: dict[str, list[tuple[Dropped, Path]]] = {}
    for source, steps in counts(out).items():
        for step in steps:
            strides = {name: max(1, count // each) for name, count in step.dropped.items()}
            seen = dict.fromkeys(strides, 0)
            for outcome in Ledger(out / source / f"{step.stage}.jsonl").outcomes():
                for row in outcome.dropped:
                    title = f"{source}, {step.stage}: {row.filter} ({step.dropped[row.filter]})"
                    examples = found.setdefault(title, [])
                    if seen[row.filter] % strides[row.filter] == 0 and len(examples) < each:
                        examples.append((row, out / source))
                    seen[row.filter] += 1
    return found


def _thumbnail(folder: Path, dropped: Dropped, side: int) -> Image | None:
    """The picture or the clip's frame; None where there is none to show."""
    from PIL import Image as pillow

    path = folder / dropped.file
    if not dropped.file or not path.exists():
        return None
    try:
        if path.is_dir() or is_video(path) or dropped.frame:
            frames = enumerate(open_clip(path).frames())
            picture = next(frame for number, frame in frames if number >= dropped.frame)
        else:
            picture = read_image(path)
    except (MMBenchError, StopIteration):
        return None
    image = pillow.fromarray(np.asarray(picture))
    image.thumbnail((side, side))
    return image
