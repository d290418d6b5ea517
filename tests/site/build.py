"""Builds the documentation site: the docstrings of every module (pdoc) and the Markdown pages, with all links checked.

    python tests/site/build.py OUT

Exits with 1 and names every link within the site that leads nowhere.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
import warnings
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import markdown
import pdoc
import pdoc.render

import mmbench

ROOT = Path(__file__).resolve().parents[2]
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
pre, table {{ overflow-x: auto; display: block }} td, th {{ border: 1px solid #aaa; padding: .2rem .5rem }}
img {{ max-width: 100% }} code {{ background: #8882 }}
</style></head><body><p><a href="{up}index.html">mmbench</a> · <a href="{up}api/mmbench.html">modules</a></p>
{body}</body></html>
"""


def modules() -> list[str]:
    """Every module of the package. pdoc by itself stops at packages that say what is public (`__all__`)."""
    found = ["mmbench"]
    for info in pkgutil.walk_packages(mmbench.__path__, "mmbench."):
        if not any(part.startswith("_") for part in info.name.split(".")[1:]):
            importlib.import_module(info.name)  # one that cannot be imported ends the build: an extra is missing
            found.append(info.name)
    return found


def pages() -> list[Path]:
    """The Markdown pages under version control."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in listed.splitlines() if not name.startswith(".github")]


def write_page(page: Path, out: Path, known: set[Path]) -> None:
    """One Markdown page as HTML in the same place of the site; the README is its index."""
    text = (ROOT / page).read_text(encoding="utf-8")
    body = markdown.markdown(text, extensions=["tables", "fenced_code", "toc"])

    def link(found: re.Match[str]) -> str:
        target = urlsplit(found[2])
        if target.scheme or not target.path:
            return found[0]
        place = (ROOT / page.parent / unquote(target.path)).resolve()
        inside = place.relative_to(ROOT) if place.is_relative_to(ROOT) else None
        if inside in known:
            there = os.path.relpath(placed(str(inside)), page.parent)
            return f'{found[1]}="{there}{"#" + target.fragment if target.fragment else ""}"'
        if inside is not None and place.is_file() and place.suffix in (".png", ".svg"):
            copy = out / inside
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(place.read_bytes())
            return found[0]
        if inside is not None and place.exists():  # a file or folder of the repository that is no page
            return f'{found[1]}="#" title="{escape(str(inside))}"'
        return found[0]

    body = re.sub(r'(href|src)="([^"]+)"', link, body)
    target = out / placed(str(page))
    target.parent.mkdir(parents=True, exist_ok=True)
    title = text.lstrip("# ").splitlines()[0] if text else str(page)
    up = "../" * (len(page.parts) - 1)
    target.write_text(PAGE.format(title=escape(title), body=body, up=up), encoding="utf-8")


def placed(name: str) -> str:
    """Where a page stands in the site: README.md of the repository is index.html."""
    return "index.html" if name == "README.md" else f"{name.removesuffix('.md')}.html"


class Links(HTMLParser):
    """The anchors of a page and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag names and where it leads."""
        held = dict(attrs)
        if held.get("id"):
            self.anchors.add(str(held["id"]))
        link = held.get("href") if tag in ("a", "link") else held.get("src") if tag in ("img", "script") else None
        if link:
            self.links.append(link)


def dead_links(out: Path) -> list[str]:
    """Links within the site that lead to no file, or to no anchor of one."""
    read: dict[Path, Links] = {}
    for page in sorted(out.rglob("*.html")):
        read[page.resolve()] = found = Links()
        found.feed(page.read_text(encoding="utf-8"))
    dead = []
    for page, found in read.items():
        for link in found.links:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            place = (page.parent / unquote(target.path)).resolve() if target.path else page
            known = read.get(place)
            checked = (
                known is not None and "api" not in place.relative_to(out.resolve()).parts[:1]
            )  # pdoc's own anchors
            there = place.is_file() and (known is None or not checked or unquote(target.fragment) in known.anchors)
            if not there and link != "#":
                dead.append(f"{page.relative_to(out.resolve())}: {link}")
    return dead


def page_of(out: Path, module: str) -> Path:
    """Where pdoc puts a module."""
    return out / "api" / f"{module.replace('.', '/')}.html"


def main(out: Path) -> int:
    """Build and check; the exit status."""
    if out.is_dir() and any(out.iterdir()):
        print(f"{out} is not empty: pages of an earlier site would pass for this one's. Name another folder.")
        return 2
    known = set(pages())
    for page in sorted(known):
        write_page(page, out, known)
    pdoc.render.configure(docformat="markdown", footer_text=f"mmbench {mmbench.__version__}")
    for name in mmbench.__all__:  # these are imported when they are asked for, and pdoc does not ask
        setattr(mmbench, name, getattr(mmbench, name))
    named = modules()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The module specification")  # a package brings its modules too
        pdoc.pdoc(*named, output_directory=out / "api")
    dead = [f"no page of {name}" for name in named if not page_of(out, name).is_file()] + dead_links(out)
    print(
        "\n".join(dead) or f"{len(list(out.rglob('*.html')))} pages in {out}, every link within them leads somewhere."
    )
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
