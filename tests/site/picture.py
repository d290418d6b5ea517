"""A picture of a report's page for the README: its head, and one scene side by side.

python -m tests.site.picture REPORT/index.html OUT.png [SCENE]

SCENE is a scene's name in the page's address, "woman-01/1". Needs Chromium.
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.reports.conftest import Browser

WIDTH, COLOURS = 1280, 128
PARTS = {"header": 260, "#board": 560, "#side-by-side": 860}
"""What is shown, and at most how many pixels of its height."""


def main(page: Path, out: Path, scene: str) -> None:
    """Open the page, wait for the scene's videos, and put its parts below each other."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Chromium is not installed.")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, Path(profile))
        try:
            size = {"width": WIDTH, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
            browser.call("Emulation.setDeviceMetricsOverride", **size)
            browser.call("Page.navigate", url=f"{page.resolve().as_uri()}#side-by-side?scene={scene}&t=1")
            videos = "[...document.querySelectorAll('.cast video')]"
            browser.wait(f"{videos}.length > 1 && {videos}.every(v => v.readyState >= 2 && !v.seeking)")
            pictures = [_part(browser, selector, most) for selector, most in PARTS.items()]
        finally:
            browser.close()
    whole = Image.new("RGB", (WIDTH, sum(picture.height for picture in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    whole.quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


def _part(browser: Browser, selector: str, most: int) -> Image.Image:
    place = f"document.querySelector({selector!r}).getBoundingClientRect()"
    start = browser.run(f"{place}.top + scrollY")
    height = min(browser.run(f"{place}.height"), most)
    clip = {"x": 0, "y": start, "width": WIDTH, "height": height, "scale": 1}
    shot = browser.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "woman-01/1")
