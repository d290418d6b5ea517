"""The ablations of the paper (v2 Table 3) as one set of switches each."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Variant:
    """Which parts a model has; the first five are config fields of `MagicMirrorTransformer3DModel`.

    `image_pretraining` is a fact about its training (stage 1), not about its architecture.
    """

    identity_fusion: bool = False
    face_tokens: bool = False
    face_cross_attention: bool = False
    face_modulation: bool = False
    conditioned_norm: bool = False
    image_pretraining: bool = False

    def transformer_config(self) -> dict[str, bool]:
        """The five architecture switches, to be passed to the transformer's constructor."""
        switches = asdict(self)
        del switches["image_pretraining"]
        return switches

    def face_encoder_config(self) -> dict[str, bool]:
        """Which trained parts the face encoder of this variant has, to be passed to its constructor."""
        return {"identity_fusion": self.identity_fusion, "face_tokens": self.face_tokens or self.face_cross_attention}


def _variant(fuse: bool, face: bool, modulation: bool, can: bool, pretraining: bool) -> Variant:
    return Variant(fuse, face, face, modulation, can, pretraining)


VARIANTS: dict[str, Variant] = {
    #                 fuse   face   m_face CAN    stage 1
    "A": _variant(True, False, False, False, False),
    "B": _variant(False, True, False, False, False),
    "C": _variant(True, True, False, False, False),
    "D": _variant(False, True, True, False, False),
    "E": _variant(True, False, False, True, False),
    "F": _variant(True, True, False, False, True),
    "G": _variant(True, True, True, True, False),
    "Full": _variant(True, True, True, True, True),
    "no-CAN": _variant(True, True, True, False, True),
}
"""Rows of v2 Table 3, read by counting their ticks: A-E are not cumulative (D is B + m_face, E is A + CAN).

"no-CAN" is the lower curve of Fig. 8.
"""
