"""ConsisID's face input: one 1280-d identity vector, five layers of EVA-CLIP tokens, and the face cut out on white.

The steps of diffusers' `consisid_utils` (which needs the insightface package, CUDA and torchvision to be imported):
largest face by antelopev2; RetinaFace crop of 512; BiSeNet parsing; grey face to EVA02-CLIP-L-336.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmbench.baselines.pictures import CLIP_MEAN, CLIP_STD
from mmbench.device import beside_torch
from mmbench.errors import MissingDependency, ReferenceFaceError, how_to_install
from mmbench.face.geometry import largest
from mmbench.face.stand_in import PictureFaces
from mmbench.weights.folders import require_file

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mmbench.face.packs import PackFaces

BACKGROUND = (0, 16, 18, 7, 8, 9, 14, 15)
"""Parsing classes that become white: background, clothes, hat, ears, earring, neck, necklace."""
PARSING_MEAN, PARSING_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LONGEST_SIDE, DETECTOR_SIZE, CROP = 1024, 640, 512
EVA_FILE = "EVA02_CLIP_L_336_psz14_s6B.pt"


@dataclass(frozen=True)
class FaceFeatures:
    """`identity` (1, 1280): ArcFace 512 and EVA-CLIP 768; `layers`: five of (1, 577, 1024); `picture`: the face."""

    identity: torch.Tensor
    layers: tuple[torch.Tensor, ...]
    picture: Image


class FaceReader(Protocol):
    """Reads a reference picture. Raises ReferenceFaceError without a face."""

    def read(self, picture: Image) -> FaceFeatures: ...

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """The torch networks in memory, by name."""


class StandInReader:
    """Deterministic features of the right shapes for tiny weights; recognises nobody."""

    def __init__(self, identity_width: int, layer_width: int, layers: int) -> None:
        self.shape = (identity_width, layer_width, layers)

    def read(self, picture: Image) -> FaceFeatures:
        import torch

        identity_width, layer_width, layers = self.shape
        pixels, faces = np.asarray(picture, dtype=np.uint8), PictureFaces()
        vector = faces.embed(pixels, faces.find(pixels)[0])
        wide = np.resize(vector, identity_width + layers * 5 * layer_width).astype(np.float32)
        identity, rest = np.split(wide, [identity_width])
        tokens = torch.from_numpy(rest).view(layers, 1, 5, layer_width)
        return FaceFeatures(torch.from_numpy(identity)[None], tuple(tokens), picture.resize((64, 64)))

    def networks(self) -> Mapping[str, torch.nn.Module]:
        return {}


def open_reader(folder: Path, weights_dir: Path, device: str, dtype: torch.dtype) -> TowerReader:
    """The real networks from `face_encoder/`, the EVA-CLIP tower in `dtype` as upstream has it.

    Raises MissingWeights, MissingDependency.
    """
    from mmbench.face.packs import ANTELOPE_V2, open_analyser

    for name in (EVA_FILE, "detection_Resnet50_Final.pth", "parsing_bisenet.pth"):
        require_file(folder / name)  # facexlib would fetch a missing one from the network
    try:
        from consisid_eva_clip import create_model_and_transforms
        from facexlib.parsing import init_parsing_model
        from facexlib.utils.face_restoration_helper import FaceRestoreHelper
    except ImportError as error:
        raise MissingDependency(
            f"ConsisID's face networks need a package that is not installed: {error.name}.",
            f"pip install --no-deps consisid_eva_clip facexlib timm einops ftfy, and {how_to_install('insightface')}",
        ) from error
    helper = FaceRestoreHelper(
        upscale_factor=1,
        face_size=CROP,
        crop_ratio=(1, 1),
        det_model="retinaface_resnet50",
        save_ext="png",
        device=device,
        model_rootpath=str(folder),
    )
    parsing = init_parsing_model(model_name="bisenet", device=device, model_rootpath=str(folder))
    clip, _, _ = create_model_and_transforms("EVA02-CLIP-L-14-336", str(folder / EVA_FILE), force_custom_clip=True)
    tower = clip.visual.eval().to(device, dtype)
    return TowerReader(
        open_analyser(ANTELOPE_V2, weights_dir, beside_torch(device)), helper, parsing.eval(), tower, device
    )


class TowerReader:
    """RetinaFace, BiSeNet, ArcFace and EVA-CLIP in a row. EVA-CLIP runs in the precision of its weights, the others
    in float32."""

    def __init__(self, faces: PackFaces, helper: Any, parsing: Any, tower: Any, device: str) -> None:
        self.faces, self.helper, self.parsing, self.tower, self.device = faces, helper, parsing, tower, device

    def read(self, picture: Image) -> FaceFeatures:
        import cv2
        import torch
        from PIL import Image as Pil

        pixels = shrink(np.asarray(picture, dtype=np.uint8))
        self.helper.clean_all()
        self.helper.read_image(pixels[:, :, ::-1].copy())
        self.helper.get_face_landmarks_5(only_center_face=True)
        self.helper.align_warp_face()
        if not self.helper.cropped_faces:
            raise ReferenceFaceError(
                "ConsisID's detector finds no face in the first reference picture.",
                "Put a sharper or more frontal picture first.",
            )
        crop = np.ascontiguousarray(self.helper.cropped_faces[0][:, :, ::-1])
        if found := self.faces.find(pixels, DETECTOR_SIZE):
            vector = self.faces.embed(pixels, found[largest([face.box for face in found])])
        else:
            vector = self.faces.embed_cut(np.asarray(cv2.resize(crop, (112, 112)), np.uint8))
        with torch.inference_mode():
            face = torch.from_numpy(crop).permute(2, 0, 1)[None].float().to(self.device) / 255
            classes = self.parsing(standardise(face, PARSING_MEAN, PARSING_STD))[0].argmax(dim=1, keepdim=True)
            background = torch.isin(classes, torch.tensor(BACKGROUND, device=classes.device))
            colour, grey = on_white(face, background)
            side = self.tower.image_size
            side = side if isinstance(side, int) else side[0]
            small = torch.nn.functional.interpolate(grey, (side, side), mode="bicubic", antialias=True)
            seen = standardise(small, CLIP_MEAN, CLIP_STD).to(next(self.tower.parameters()).dtype)
            pooled, layers = self.tower(seen, return_all_features=False, return_hidden=True, shuffle=False)
        pooled = pooled / pooled.norm(dim=1, keepdim=True)
        identity = torch.cat([torch.from_numpy(vector)[None].to(pooled), pooled], dim=1)
        shown = (colour[0].permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
        return FaceFeatures(identity, tuple(layers), Pil.fromarray(shown))

    def networks(self) -> Mapping[str, torch.nn.Module]:
        return {"eva_clip": self.tower, "parsing": self.parsing, "face_detector": self.helper.face_det}


def shrink(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture (H, W, 3) with its longer side at most 1024."""
    import cv2

    height, width = pixels.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    smaller = cv2.resize(pixels, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(smaller, dtype=np.uint8)


def standardise(x: torch.Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> torch.Tensor:
    """(x - mean) / deviation per channel of (n, 3, H, W)."""
    import torch

    shape = (1, 3, 1, 1)
    return (x - torch.tensor(mean, device=x.device).view(shape)) / torch.tensor(deviation, device=x.device).view(shape)


def on_white(face: torch.Tensor, background: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A face (1, 3, H, W) in [0, 1] with `background` (1, 1, H, W) turned white: in colour, and grey (BT.601)."""
    import torch

    weights = torch.tensor((0.299, 0.587, 0.114), device=face.device).view(1, 3, 1, 1)
    grey = (face * weights).sum(dim=1, keepdim=True).expand_as(face)
    white = torch.ones_like(face)
    return torch.where(background, white, face), torch.where(background, white, grey)
