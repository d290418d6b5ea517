"""What surrounds a person: light, clothes, backdrop and camera, and what changes from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.synth.expression import NEUTRAL, Expression
from mmbench.synth.identity import Rgb
from mmbench.synth.person import Gaze, Person, Pose

F32 = NDArray[np.float32]
Pattern = Literal["plain", "stripes", "checks", "dots", "yoke", "fleck"]
PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "checks", "dots", "yoke", "fleck")
BackdropKind = Literal["studio", "lights", "room", "garden", "haze"]
BACKDROPS: tuple[BackdropKind, ...] = ("studio", "lights", "room", "garden", "haze")

WALL = 28.0  # dm from the head to the backdrop's plane


@dataclass(frozen=True)
class Light:
    """A key light with shadows, a fill from the other side, a sky. `towards` points at the key light, any length."""

    towards: tuple[float, float, float] = (0.45, 0.45, 0.78)
    key: float = 0.82
    key_colour: Rgb = (1.0, 0.97, 0.93)
    ambient: float = 0.42
    ambient_colour: Rgb = (0.95, 0.98, 1.04)
    rim: float = 0.25


@dataclass(frozen=True)
class Clothes:
    """The garment, always worn: two display colours, a pattern and the folds' seed."""

    colour: Rgb = (0.30, 0.35, 0.50)
    second: Rgb = (0.20, 0.20, 0.30)
    pattern: Pattern = "plain"
    seed: int = 0


@dataclass(frozen=True)
class Backdrop:
    kind: BackdropKind = "studio"
    seed: int = 0


@dataclass(frozen=True)
class Scene:
    """Fixed for a clip. Sizes in pixels; `zoom` 1 shows head and shoulders, the head (chin to crown) 64 %
    of the height.

    `grain` is the standard deviation of sensor noise (display units); `samples` the supersampling per axis; `shadows`
    the side of the shadow map in texels.
    """

    height: int = 256
    width: int = 256
    zoom: float = 1.0
    light: Light = field(default_factory=Light)
    clothes: Clothes = field(default_factory=Clothes)
    backdrop: Backdrop = field(default_factory=Backdrop)
    grain: float = 0.004
    samples: int = 2
    shadows: int = 384


@dataclass(frozen=True)
class State:
    """What may change in every frame. `pan` moves the camera, `shift` the person (image right, up), both in head
    heights; `zoom` multiplies the scene's."""

    expression: Expression = NEUTRAL
    gaze: Gaze = field(default_factory=Gaze)
    pose: Pose = field(default_factory=Pose)
    zoom: float = 1.0
    pan: tuple[float, float] = (0.0, 0.0)
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera looking along -z from `eye`; `focal` in pixels. Depth is the distance along -z in dm."""

    height: int
    width: int
    focal: float
    eye: F32

    def project(self, points: F32) -> tuple[F32, F32]:
        """Pixels (N, 2) and depth (N,) of points (N, 3)."""
        q = points - self.eye
        depth = -q[:, 2]
        x = self.width / 2 + self.focal * q[:, 0] / depth
        y = self.height / 2 - self.focal * q[:, 1] / depth
        return np.stack([x, y], 1).astype(np.float32), depth.astype(np.float32)

    def wall_points(self, x: F32, y: F32) -> tuple[F32, F32]:
        """Where the rays of pixels meet the backdrop: plane coordinates in dm."""
        reach = (self.eye[2] + WALL) / self.focal
        return self.eye[0] + (x - self.width / 2) * reach, self.eye[1] - (y - self.height / 2) * reach

    def project_wall(self, a: F32, b: F32) -> tuple[F32, F32]:
        """Pixels of plane coordinates of the backdrop: the inverse of `wall_points`."""
        reach = (self.eye[2] + WALL) / self.focal
        return (a - self.eye[0]) / reach + self.width / 2, self.height / 2 - (b - self.eye[1]) / reach


def camera(person: Person, scene: Scene, state: State, samples: int = 1) -> Camera:
    """The camera of a frame, at `samples` times the scene's resolution. At zoom 1 the head fills 64 % of
    the short side."""
    head, middle = person.framing
    away = 4.2 * head
    height, width = scene.height * samples, scene.width * samples
    focal = 0.64 * min(height, width) * scene.zoom * state.zoom * away / head
    eye = np.array([state.pan[0] * head, middle - 0.10 * head + state.pan[1] * head, 0.1 + away], np.float32)
    return Camera(height, width, focal, eye)
