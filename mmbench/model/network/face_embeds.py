"""`FaceEmbeds`: what one face encoding gives to any number of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mmbench.errors import MissingWeights, RequestError, WeightsError
from mmbench.files import whole

_FORMAT = "magic-mirror-face-1"


@dataclass(frozen=True)
class FaceEmbeds:
    """Identity tokens x_id [B, 2, face_dim] and face tokens x_face [B, N_f, face_dim]; B identities.

    A variant without face tokens has N_f = 0. encoder: a mark of the weights that made them, "" for unknown.
    """

    identity: Tensor
    tokens: Tensor
    encoder: str = ""

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> FaceEmbeds:
        """The same embeddings on another device or in another floating type."""
        return replace(self, identity=self.identity.to(device, dtype), tokens=self.tokens.to(device, dtype))

    def repeat(self, times: int) -> FaceEmbeds:
        """Each identity `times` times in a row: a b -> a a b b."""
        identity, tokens = (part.repeat_interleave(times, dim=0) for part in (self.identity, self.tokens))
        return FaceEmbeds(identity, tokens, self.encoder)

    def copies(self, times: int) -> FaceEmbeds:
        """The whole batch `times` times: a b -> a b a b, the order of the halves of guidance."""
        return FaceEmbeds(self.identity.repeat(times, 1, 1), self.tokens.repeat(times, 1, 1), self.encoder)

    @staticmethod
    def stack(faces: Sequence[FaceEmbeds]) -> FaceEmbeds:
        """One identity after the other, for as many prompts: the embeddings of all, in order."""
        if not faces:
            raise RequestError("There are no face embeddings to stack.", "Give one or more.")
        marks = {face.encoder for face in faces}
        if len(marks) > 1:
            raise RequestError(
                "The face embeddings were made with different weights.", "Encode all of them with one pipeline."
            )
        like = faces[0].identity
        moved = [face.to(like.device, like.dtype) for face in faces]
        return FaceEmbeds(torch.cat([f.identity for f in moved]), torch.cat([f.tokens for f in moved]), marks.pop())

    def save(self, path: str | Path) -> Path:
        """Write them to a safetensors file, with the mark of their encoder; returns its path."""
        from safetensors.torch import save_file

        path = Path(path)
        tensors = {"identity": self.identity.detach().cpu(), "tokens": self.tokens.detach().cpu()}
        with whole(path) as part:
            save_file(
                {k: v.contiguous() for k, v in tensors.items()}, part, {"format": _FORMAT, "encoder": self.encoder}
            )
        return path

    @staticmethod
    def load(path: str | Path) -> FaceEmbeds:
        """Read what `save` wrote. Raises MissingWeights, WeightsError."""
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise MissingWeights(
                f"{path}: there are no face embeddings.", "Make them with pipe.encode_face(...).save()."
            )
        try:
            with safe_open(path, framework="pt") as opened:
                header = opened.metadata() or {}
                if header.get("format") != _FORMAT or set(opened.keys()) != {"identity", "tokens"}:
                    raise WeightsError(f"{path}: these are not face embeddings.", "Make them with FaceEmbeds.save().")
                identity, tokens = opened.get_tensor("identity"), opened.get_tensor("tokens")
        except SafetensorError as error:
            raise WeightsError(f"{path}: not a whole safetensors file ({error}).", "Encode the face again.") from error
        return FaceEmbeds(identity, tokens, header.get("encoder", ""))
