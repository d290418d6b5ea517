"""A contact sheet: every identity's references in one picture, by group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.testsets.pictures import save_png
from mmbench.testsets.types import TestSet

if TYPE_CHECKING:
    from PIL.Image import Image

MARGIN = 8
CAPTION = 16
MAX_REFERENCES = 4


def contact_sheet(testset: TestSet, side: int = 112, columns: int = 3) -> Image:
    """RGB picture: one cell an identity with its name, group and up to four references of `side` pixels."""
    from PIL import Image as pillow
    from PIL import ImageDraw, ImageOps

    cell = (MAX_REFERENCES * side + MARGIN, side + CAPTION + MARGIN)
    rows = -(-len(testset.identities) // columns)
    sheet = pillow.new("RGB", (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN // 2), f"{testset.name}: {len(testset.identities)} identities", fill="black")
    for number, identity in enumerate(testset.identities):
        x = MARGIN + number % columns * cell[0]
        y = MARGIN + CAPTION + number // columns * cell[1]
        draw.text((x, y), f"{identity.id}  ({identity.group})", fill="black")
        for place, path in enumerate(identity.references[:MAX_REFERENCES]):
            with pillow.open(path) as image:
                thumb = ImageOps.fit(image.convert("RGB"), (side, side))
            sheet.paste(thumb, (x + place * side, y + CAPTION))
    return sheet


def write_contact_sheet(testset: TestSet, path: Path) -> Path:
    """Write `contact_sheet` as a PNG and return its path."""
    save_png(contact_sheet(testset), path)
    return path
