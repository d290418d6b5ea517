"""Which fifty: candidates are drawn seed after seed and kept when dlib finds them and can tell them apart.

A candidate is kept in the pool when dlib's HOG detector finds its face at yaw 0, -26 and +26 (neutral,
plain light). From the pool, in seed order, those are taken whose mean descriptor lies at least NEAR_SAME
from every one already taken in the group and NEAR_OTHER from every other group's (Euclidean, 128-d).
Screening and evaluation use the same detector and recogniser; evaluation views are fresh. The unscreened
figures stand beside the screened ones in CARD.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmbench.studies.synthetic50.looking import descriptor, face_at
from mmbench.synth.identity import GROUPS, Group
from mmbench.synth.kit import Kit, load_kit
from mmbench.synth.person import Person, Pose, build_person
from mmbench.synth.picture import render
from mmbench.synth.sampling import sample_identity
from mmbench.synth.scene import Backdrop, Scene, State, camera

WANTED: dict[Group, int] = {
    "man": 8, "woman": 8, "elderly man": 7, "elderly woman": 7, "boy": 7, "girl": 7, "baby": 6
}  # fmt: skip
NEAR_SAME, NEAR_OTHER = 0.42, 0.40
YAWS = (0.0, -26.0, 26.0)


def face_centre(person: Person, scene: Scene, state: State) -> tuple[float, float]:
    """Pixel between the eyes and the mouth."""
    view = camera(person, scene, state)
    vertices = person.vertices(state.expression, state.gaze, state.pose)
    points, _ = view.project(person.landmarks(vertices)[[30, 33, 39, 42]])
    x, y = points.mean(0)
    return float(x), float(y)


def candidate_centroid(kit: Kit, group: Group, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    """Mean descriptor over the three views, or None when one of them is missed."""
    person = build_person(kit, sample_identity(kit, group, seed))
    found = []
    for yaw in YAWS:
        scene, state = Scene(backdrop=Backdrop("studio", 3)), State(pose=Pose(yaw, 0, 0))
        image = render(person, scene, state)
        face = face_at(image, face_centre(person, scene, state))
        if face is None:
            return None
        found.append(descriptor(image, face))
    return np.asarray(np.mean(found, 0))


def screen(cache: Path, most: int = 40, say: Callable[[str], None] = print) -> list[tuple[Group, int]]:
    """The fifty (group, seed) pairs. Candidates' centroids are kept in `cache` (JSON lines) to continue later."""
    kit = load_kit()
    known: dict[tuple[str, int], list[float] | None] = {}
    if cache.is_file():
        for line in cache.read_text().splitlines():
            row = json.loads(line)
            known[row["group"], row["seed"]] = row["centroid"]
    taken: list[tuple[Group, int, np.ndarray[tuple[int], np.dtype[np.float64]]]] = []
    for seed in range(most):
        for group in GROUPS:
            if sum(1 for g, _, _ in taken if g == group) >= WANTED[group]:
                continue
            if (group, seed) not in known:
                centroid = candidate_centroid(kit, group, seed)
                known[group, seed] = None if centroid is None else [round(float(v), 6) for v in centroid]
                with cache.open("a") as file:
                    file.write(json.dumps({"group": group, "seed": seed, "centroid": known[group, seed]}) + "\n")
            values = known[group, seed]
            if values is None:
                say(f"{group} {seed}: missed")
                continue
            here = np.array(values)
            gaps = [float(np.linalg.norm(here - c)) - (NEAR_SAME if g == group else NEAR_OTHER) for g, _, c in taken]
            if min(gaps, default=1.0) >= 0:
                taken.append((group, seed, here))
            else:
                say(f"{group} {seed}: {min(gaps):.3f} too near")
    order = {group: k for k, group in enumerate(GROUPS)}
    return sorted(((g, s) for g, s, _ in taken), key=lambda pair: (order[pair[0]], pair[1]))
