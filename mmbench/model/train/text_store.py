"""Text embeddings on disk by the hash of what made them: captions that repeat are encoded and held once."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from mmbench.errors import ManifestError, MissingWeights
from mmbench.files import sha256


def text_key(caption: str, encoder: str, length: int) -> str:
    """sha256 of a caption without its trigger, the text encoder's name (with its revision) and the token count."""
    return sha256(json.dumps([caption, encoder, length]).encode())


EMPTY = "0" * 64
"""Key of the empty caption."""


class TextStore:
    """A folder of embeddings [N_t, text_dim], one safetensors file a caption.

    All rows are kept: the encoder runs without a mask, so the rows of the padding differ between captions too.
    One encoder a folder: its empty caption is kept under a key of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the embedding of a key lies; ManifestError for what is no key."""
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise ManifestError(f"{self.folder}: {key!r} is not the key of a text.", "Build the records again.")
        return self.folder / key[:2] / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def put(self, key: str, embedding: Tensor) -> None:
        """Keep an embedding [N_t, text_dim] in bf16 or float32; one that is there stays."""
        from safetensors.torch import save

        from mmbench.files import whole

        path = self.path(key)
        if path.is_file():
            return
        with whole(path) as part:
            part.write_bytes(save({"text": embedding.contiguous()}))

    def get(self, key: str) -> Tensor:
        """The embedding [N_t, text_dim]. Raises MissingWeights naming the file."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.path(key)
        try:
            return load_file(path)["text"]
        except (FileNotFoundError, SafetensorError, KeyError) as cause:
            raise MissingWeights(f"{path}: no text embedding ({cause}).", "Encode the captions again.") from cause

    def put_empty(self, embedding: Tensor) -> None:
        """Keep the embedding of the empty caption: what a sample reads whose text is dropped."""
        self.put(EMPTY, embedding)

    def empty(self) -> Tensor:
        """The embedding of the empty caption."""
        return self.get(EMPTY)
