"""The kinds of remote storage that are read: how a name of theirs is told, and the package that reads it."""

from __future__ import annotations

from pathlib import PurePath

from mmbench.errors import MissingDependency, how_to_install, require_extra

SCHEMES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "hf": "huggingface_hub",
    "memory": "fsspec",
}
"""Kinds of storage that are read, with the package that reads each. Web addresses are not among them."""


def is_url(text: str | PurePath) -> bool:
    """Whether a text names a file of remote storage: `s3://bucket/key`; so does `s3:/bucket/key`, as pathlib cuts it.

    >>> is_url("s3://bucket/clip.mp4"), is_url("clips/clip.mp4"), is_url("C:/clip.mp4")
    (True, False, False)
    """
    scheme, colon, rest = str(text).partition(":")
    return bool(colon) and scheme in SCHEMES and rest.startswith("/") and bool(rest.strip("/"))


def check_scheme(url: str) -> None:
    """Raise MissingDependency unless what reads this kind of storage is installed. Nothing is imported."""
    require_extra("remote", "fsspec")
    package = SCHEMES[url.partition(":")[0]]
    try:
        require_extra("remote", package)
    except MissingDependency as cause:
        ours = package in ("fsspec", "s3fs")
        remedy = how_to_install("remote") if ours else f"pip install {package}"
        raise MissingDependency(f"{url}: {package} is not installed.", remedy) from cause
