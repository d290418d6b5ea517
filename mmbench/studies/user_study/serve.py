"""Serve a study with one command: checked before it opens, told where it is, ended in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import ManifestError, require_extra
from mmbench.studies.user_study.design import MEDIA, read_design

if TYPE_CHECKING:
    from mmbench.studies.user_study.guard import StudyLimits

TOLD = 5
"""Missing clips that a message names."""


@dataclass(frozen=True)
class ServeOptions:
    """Where to listen. `root_path` is the study's path behind a proxy ("/study"), which may cut it off or leave it.

    `trusted_proxy` is the address of a proxy whose word on callers' addresses is taken ("" for none): without it all
    who come through a proxy share one rate limit.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    root_path: str = ""
    trusted_proxy: str = ""
    limits: StudyLimits | None = None


def serve_study(study: Path, options: ServeOptions | None = None, tell: Callable[[str], None] = print) -> None:
    """Serve until Ctrl-C or SIGTERM. `tell` gets the address of the page.

    One process: SQLite takes hundreds of votes a second. Raises MissingDependency without the extra `study`,
    ManifestError where the folder is no study or lacks clips, or the root path is none.
    """
    require_extra("study")
    import uvicorn

    from mmbench.studies.user_study.app import make_app

    options = options or ServeOptions()
    root = options.root_path.rstrip("/")
    if root and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", root):
        raise ManifestError(f"The root path {options.root_path!r} is none.", "Give it as /study or /lab/study.")
    check_media(study)
    app = make_app(study, options.limits, root)
    settings: dict[str, Any] = {"proxy_headers": False}
    if options.trusted_proxy:
        settings = {"proxy_headers": True, "forwarded_allow_ips": options.trusted_proxy}
    host = f"[{options.host}]" if ":" in options.host else options.host
    tell(f"Study at http://{host}:{options.port}{root}/ (Ctrl-C ends it; votes are kept as they come)")
    # No access log: it would hold addresses.
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        server_header=False,
        log_level="warning",
        **settings,
    )


def check_media(study: Path) -> None:
    """Raise ManifestError where a clip that the design names is not there."""
    paths = {name: study / MEDIA / name for name in read_design(study).media}
    lost = sorted(name for name, path in paths.items() if path.is_symlink() or not path.is_file())
    if lost:
        more = f" and {len(lost) - TOLD} more" if len(lost) > TOLD else ""
        raise ManifestError(f"{study / MEDIA}: lacks {', '.join(lost[:TOLD])}{more}.", "Copy the whole folder again.")
