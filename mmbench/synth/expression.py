"""Facial expression as a few readable controls, and what each does in units of the kit."""

from __future__ import annotations

from dataclasses import dataclass, fields

UNITS = (
    "eye-left-closure", "eye-left-opened-up", "eye-left-slit", "eye-right-closure", "eye-right-opened-up",
    "eye-right-slit",
    "eyebrows-left-down", "eyebrows-left-inner-up", "eyebrows-left-up", "eyebrows-right-down",
    "eyebrows-right-inner-up",
    "eyebrows-right-up", "mouth-compression", "mouth-corner-puller", "mouth-depression", "mouth-open", "mouth-parling",
    "mouth-pursing", "mouth-retraction", "mouth-upward-retraction", "nose-compression",
)  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """Controls in 0..1, all zero when neutral. `open` opens the jaw, `teeth` parts the lips, `wide` stretches them."""

    smile: float = 0.0
    open: float = 0.0
    teeth: float = 0.0
    wide: float = 0.0
    pucker: float = 0.0
    frown: float = 0.0
    sad: float = 0.0
    surprise: float = 0.0
    brow_up: float = 0.0
    squint: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0

    def scaled(self, factor: float) -> Expression:
        """Every control but the blinks times `factor`."""
        values = {f.name: getattr(self, f.name) * (1.0 if "blink" in f.name else factor) for f in fields(self)}
        return Expression(**values)


NEUTRAL = Expression()


def unit_weights(e: Expression, closing: tuple[float, float]) -> dict[str, float]:
    """Weights of `UNITS`; `closing` are the person's own weights that just close the left and right lids."""
    weights = dict.fromkeys(UNITS, 0.0)
    weights["mouth-corner-puller"] = e.smile
    weights["mouth-upward-retraction"] = 0.3 * e.smile
    weights["mouth-retraction"] = 0.3 * e.smile + e.wide
    weights["mouth-open"] = e.open + 0.6 * e.surprise
    weights["mouth-parling"] = e.teeth
    weights["mouth-depression"] = e.sad
    weights["mouth-pursing"] = e.pucker
    weights["mouth-compression"] = 0.4 * e.frown
    weights["nose-compression"] = 0.5 * e.frown
    for side, blink, closed in (("left", e.blink_left, closing[0]), ("right", e.blink_right, closing[1])):
        weights[f"eye-{side}-closure"] = blink * closed
        weights[f"eye-{side}-slit"] = 0.3 * e.smile * (1 - blink) + e.squint * (1 - blink)
        weights[f"eye-{side}-opened-up"] = 0.7 * e.surprise * (1 - blink)
        weights[f"eyebrows-{side}-up"] = e.brow_up + e.surprise
        weights[f"eyebrows-{side}-down"] = e.frown
        weights[f"eyebrows-{side}-inner-up"] = e.sad
    return {name: w for name, w in weights.items() if w}
