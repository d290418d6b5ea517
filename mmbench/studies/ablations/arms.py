"""What the paper compares: arms of equal training that differ in one thing, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from mmbench.errors import ManifestError, RequestError

if TYPE_CHECKING:
    from mmbench.model.train.settings import TrainSettings

Role = Literal["identity", "text", "motion", "colour", "sharpness", "dynamic"]
"""What a claim is about; the metric of a role depends on what can be measured on the test set."""

BASE: Final = "base"
"""The model before any training of the adapter: its clips come from the same noise and prompts."""


@dataclass(frozen=True)
class Arm:
    """One trained model. `variant`: row of v2 Table 3. `stages`: "both", or the one stage it is trained in, for as many
    steps in all. `face_encoder`: settings of it that differ (a size-matched control). `shown`: whose pictures
    it is trained with; clips are always made with the person's own. `train`: what of the model is trained."""

    name: str
    variant: str
    stages: str = "both"
    face_encoder: Mapping[str, Any] = field(default_factory=dict)
    shown: Literal["own", "stranger"] = "own"
    train: Literal["adapter", "norm-only"] = "adapter"
    says: str = ""

    @property
    def slug(self) -> str:
        """Its folder's name: arms of one training share it, whatever they are called."""
        if self.train != "adapter":
            return f"{self.train}-{self.stages}"
        differs = [f"{k}-{v}" for k, v in sorted(self.face_encoder.items())]
        return "-".join((self.variant, self.stages, *differs, *(["stranger"] if self.shown == "stranger" else [])))


@dataclass(frozen=True)
class PaperClaim:
    """`better` is said to beat `worse` in what `role` measures; `source` in the paper."""

    better: str
    worse: str
    role: Role
    source: str


@dataclass(frozen=True)
class Ablation:
    """One comparison: its arms and the paper's claims. `curve`: also measured on the way. `each_stage`: the settings'
    stages are its arms, each trained alone."""

    name: str
    title: str
    source: str
    arms: tuple[Arm, ...]
    claims: tuple[PaperClaim, ...]
    curve: bool = False
    each_stage: bool = False


FULL: Final = Arm("Full", "Full", "both", says="all parts, both stages")
_WITHOUT_STAGE_1: Final = {
    "A": "identity fused into the text alone",
    "B": "face tokens alone",
    "C": "both branches",
    "D": "face tokens with their own modulation",
    "E": "fused text with CAN",
    "G": "all parts",
}
NO_IDENTITY: Final = Arm("no identity", "Full", shown="stranger", says="all parts, both stages, strangers' pictures")
MODULE_ARMS: Final = (
    *(Arm(name, name, "video", says=f"{text}; clips alone") for name, text in _WITHOUT_STAGE_1.items()),
    Arm("F", "F", "both", says="both branches, both stages, no modulation of the face and no CAN"),
    FULL,
    NO_IDENTITY,
)
NO_CAN: Final = Arm("no CAN", "no-CAN", says="all parts but CAN")
WIDE: Final = Arm(
    "no CAN, same size", "no-CAN", face_encoder={"tau_face_width": 224}, says="no CAN, a face perceiver as much larger"
)
IMAGE_ONLY: Final = Arm("image only", "Full", "image", says="all parts, pictures alone")
VIDEO_ONLY: Final = Arm("video only", "G", "video", says="all parts, clips alone")

_TABLE3 = "v2 Table 3"
ABLATIONS: Final[dict[str, Ablation]] = {
    "modules": Ablation(
        "modules",
        "Modules",
        "Magic Mirror v2 Table 3 and Fig. 7 (left)",
        MODULE_ARMS,
        (
            *(PaperClaim("Full", name, "identity", _TABLE3) for name in "ABCDEFG"),
            PaperClaim("C", "A", "identity", _TABLE3),
            PaperClaim("C", "B", "identity", _TABLE3),
            PaperClaim("E", "A", "identity", _TABLE3),
            PaperClaim("E", "A", "motion", _TABLE3),
            PaperClaim("Full", "F", "motion", _TABLE3),
            PaperClaim("Full", "G", "motion", _TABLE3),
            PaperClaim("Full", "F", "text", _TABLE3),
            PaperClaim("Full", "no identity", "identity", "control of the same size and training"),
        ),
    ),
    "stages": Ablation(
        "stages",
        "Stages of training",
        "Magic Mirror v2 Fig. 7 (right), section 4.4",
        (IMAGE_ONLY, VIDEO_ONLY, FULL),
        (
            PaperClaim("Full", "video only", "identity", "v2 Fig. 7"),
            PaperClaim("Full", "image only", "colour", "section 4.4"),
            PaperClaim("video only", "image only", "colour", "section 4.4"),
            PaperClaim("Full", "image only", "motion", "v2 Fig. 7"),
        ),
    ),
    "can": Ablation(
        "can",
        "Conditioned Adaptive Normalization",
        "Magic Mirror Fig. 8",
        (FULL, NO_CAN, WIDE),
        (
            PaperClaim("Full", "no CAN", "identity", "Fig. 8"),
            PaperClaim("Full", "no CAN, same size", "identity", "control for its size"),
        ),
        curve=True,
    ),
    "norm": Ablation(
        "norm",
        "The base's adaptive norms alone",
        "Magic Mirror Fig. 14",
        (),
        (
            PaperClaim("natural", "worn", "sharpness", "Fig. 14"),
            PaperClaim("natural", "slow", "dynamic", "Fig. 14, v2"),
            # the paper's own data, for settings that call their stages so
            PaperClaim("pexels", "celebv", "sharpness", "Fig. 14"),
            PaperClaim("pexels-fast", "pexels", "dynamic", "Fig. 14, v2"),
        ),
        each_stage=True,
    ),
}


def ablation_of(name: str, settings: TrainSettings) -> Ablation:
    """The ablation of that name; where the settings' stages are its arms, with these and the claims about them.

    Raises RequestError for an unknown name, ManifestError where fewer than two stages could be compared.
    """
    if name not in ABLATIONS:
        raise RequestError(f"There is no ablation {name!r}.", f"There are: {', '.join(ABLATIONS)}.")
    ablation = ABLATIONS[name]
    if not ablation.each_stage:
        return ablation
    names = [stage.name for stage in settings.stages]
    if len(names) < 2 or len({stage.steps for stage in settings.stages}) > 1:
        raise ManifestError(
            "This ablation compares its settings' stages: two or more of equal steps.", "See the preset nano-norm."
        )
    arms = tuple(Arm(stage, "Full", stage, train="norm-only", says=f"tuned on {stage}") for stage in names)
    claims = tuple(claim for claim in ablation.claims if {claim.better, claim.worse} <= set(names))
    return replace(ablation, arms=arms, claims=claims)
