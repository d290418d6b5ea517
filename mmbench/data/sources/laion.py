"""A, LAION-Face: pictures of a list of addresses, each its own reference."""

from __future__ import annotations

from mmbench.data.encode import Encode
from mmbench.data.fetch import Fetch
from mmbench.data.ledger import Stage
from mmbench.data.stages import Captions, FindFaces, List, Work

PAPER = "5 M addresses, 107 K with a good face, 50 K after the captions"


def stages(work: Work) -> list[Stage]:
    """Fetch, face, caption, encode; a folder of pictures that are already there is not fetched."""
    fetch = work.settings.fetch
    got: list[Stage] = [] if work.settings.input.is_dir() else [Fetch(work.folder, fetch, fetch.picture_bytes)]
    return [
        List(work, videos=False),
        *got,
        FindFaces(work, strict=True),
        Captions(work, no_text=True),
        Encode(work, "image"),
    ]
