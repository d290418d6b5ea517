"""`Item`: one video to generate or to measure. The unit of work, of resume and of every row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench.remote.path import path_of

FIELDS = (
    "model",
    "identity",
    "references",
    "shown",
    "group",
    "prompt",
    "prompt_long",
    "prompt_index",
    "seed",
    "fps",
    "condition",
    "step",
    "conditioned_on",
    "extra",
)
"""What an item says of its video: all that a number may depend on besides the video itself."""


@dataclass(frozen=True)
class Item:
    """One video of one model for one identity and one prompt.

    `identity` is also the cluster of every interval and test. `prompt` is the short standardised prompt
    (trigger word removed), `prompt_long` the enhanced one. `fps`, when given, overrides what the container
    says. `shown` are those of the references that the model was given, the first one where nothing is said; the others
    are held out, and tell copying from likeness. `condition` is the conditioning first frame of an image-to-video
    model. `step` is the number of training steps behind the weights, where a clip was made while they were trained.
    `conditioned_on` names the networks (weight files of the registry) through which the model knew the person, or that
    it was trained against: a number by one of them is told apart.
    """

    id: str
    model: str
    identity: str
    video: Path
    references: tuple[Path, ...] = ()
    shown: tuple[Path, ...] = ()
    group: str | None = None
    prompt: str | None = None
    prompt_long: str | None = None
    prompt_index: int | None = None
    seed: int | None = None
    fps: float | None = None
    condition: Path | None = None
    step: int | None = None
    conditioned_on: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Paths may be given as strings, URLs of remote storage too, and a single picture as itself.

        Pictures in memory (PIL's) are taken for `references`, `shown` and `condition` too; `evaluate` writes them into
        its run.
        """
        video, condition = vars(self)["video"], vars(self)["condition"]
        object.__setattr__(self, "video", path_of(video))
        for name in ("references", "shown"):
            given: object = getattr(self, name)
            single = isinstance(given, str | Path) or is_picture(given)
            object.__setattr__(self, name, tuple(map(_path, (given,) if single else getattr(self, name))))
        if condition is not None:
            object.__setattr__(self, "condition", _path(condition))

    @property
    def order(self) -> tuple[str, str, int, str, int, str]:
        """Place among all items: by model, identity, prompt, seed, id."""
        index, seed = self.prompt_index, self.seed
        return (
            self.model,
            self.identity,
            -1 if index is None else index,
            self.prompt or "",
            -1 if seed is None else seed,
            self.id,
        )


def is_picture(value: object) -> bool:
    """Whether a value is a picture of PIL, told without importing it."""
    return any(f"{cls.__module__}.{cls.__qualname__}" == "PIL.Image.Image" for cls in type(value).__mro__)


def _path(value: Any) -> Any:
    return value if is_picture(value) else path_of(value)
