"""Layers of a network as dlib writes it: read from the file's bytes, run by torch.

Facts of the format (dlib/serialize.h, dnn/tensor.h, dnn/layers.h of dlib 20): a whole number is a byte with its length
(the highest bit is its sign) and that many bytes, lowest first; a layer is its name and version as text, then what it
holds; a tensor is the number 2, four sizes, and float32 of the lowest byte first. Layers follow each other from the
picture to the result. Only convolutions, affine layers and fully connected ones hold weights that these networks use;
a batch normalisation is read as the affine layer that it is after training, as dlib itself does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmbench.errors import WeightsError

# Text is its length as a whole number, then its characters.
_LAYER = re.compile(rb"\x01(?:\x05(con_[45])|\x07(affine_|bn_con2)|\x04(fc_2))")
_TENSOR_VERSION = 2
_MOST_NUMBERS = 1 << 26


@dataclass(frozen=True)
class StoredLayer:
    """`kind`: "con", "affine" or "fc". `numbers`: float32, flat, weights before biases. `shape`: of a convolution,
    (filters, height, width, stride, padding), both sides of stride and padding alike; of "fc", (outputs, inputs).
    An affine layer's numbers are the gains of all channels, then what is added to them."""

    kind: str
    numbers: NDArray[np.float32]
    shape: tuple[int, ...] = ()


def read_layers(path: Path | str) -> list[StoredLayer]:
    """The layers with weights, from the picture on. Raises WeightsError where the file is no such network."""
    held = Path(path).read_bytes()
    try:
        layers = list(_layers(held))
    except (ValueError, IndexError) as error:
        raise WeightsError(f"{path}: is no network of dlib's: {error}.", "Fetch the file again.") from error
    if not layers:
        raise WeightsError(f"{path}: holds no layer of a dlib network.", "Fetch the file again.")
    return layers


def _layers(held: bytes) -> Iterator[StoredLayer]:
    place = 0
    while (found := _LAYER.search(held, place)) is not None:
        kind = next(group for group in found.groups() if group).split(b"_")[0].decode()
        place = found.end()
        shape: tuple[int, ...] = ()
        if kind == "fc":
            shape, place = _whole_numbers(held, place, 2)
        numbers, place = _tensor(held, place)
        if kind == "con":
            (filters, height, width, down, across, *padding), place = _whole_numbers(held, place, 7)
            if down != across or padding[0] != padding[1]:
                raise ValueError(f"a convolution of stride {down} by {across} and padding {padding}")
            shape = (filters, height, width, down, padding[0])
        if kind == "bn":
            kind = "affine"
            numbers, place = _at_rest(numbers, held, place)
        yield StoredLayer(kind, numbers, shape)


def _at_rest(numbers: NDArray[np.float32], held: bytes, place: int) -> tuple[NDArray[np.float32], int]:
    """Gains and what is added of a batch normalisation's `numbers`, by its running means and variances."""
    _, place = _whole_numbers(held, place, 10)  # how its numbers are split in two
    statistics = []
    for _ in range(4):  # the last batch's means and inverse deviations, then the running means and variances
        part, place = _tensor(held, place)
        statistics.append(part.astype(np.float64))
    (*_, mantissa, exponent), place = _whole_numbers(held, place, 12)  # two counts, four rates, epsilon
    gain, added = np.split(numbers.astype(np.float64), 2)
    gain /= np.sqrt(statistics[3] + math.ldexp(mantissa, exponent))
    return np.concatenate([gain, added - gain * statistics[2]]).astype(np.float32), place


def _tensor(held: bytes, place: int) -> tuple[NDArray[np.float32], int]:
    (version, *sizes), place = _whole_numbers(held, place, 5)
    count = int(np.prod(sizes, dtype=object))
    if version != _TENSOR_VERSION or min(sizes) < 0 or count > _MOST_NUMBERS:
        raise ValueError(f"a tensor of version {version} and sizes {sizes}")
    return np.frombuffer(held, "<f4", count, place).astype(np.float32), place + 4 * count


def _whole_numbers(held: bytes, place: int, count: int) -> tuple[tuple[int, ...], int]:
    numbers = []
    for _ in range(count):
        length, negative = held[place] & 0x0F, held[place] & 0x80
        place += 1 + length
        value = int.from_bytes(held[place - length : place], "little")
        numbers.append(-value if negative else value)
    return tuple(numbers), place


def take(layer: nn.Module, stored: StoredLayer, affine: StoredLayer | None) -> None:
    """Give a convolution its stored weights, times and plus those of the affine layer behind it.

    Raises ValueError, RuntimeError where the convolution is another one.
    """
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    filters, *sides, stride, padding = stored.shape
    known = (layer.out_channels, *layer.kernel_size, layer.stride[0], layer.padding[0])
    if known != (filters, *sides, stride, padding):
        raise ValueError(f"a convolution of {stored.shape} stands where {known} was expected")
    numbers = torch.from_numpy(stored.numbers)
    weight, bias = numbers[:-filters].reshape(layer.weight.shape), numbers[-filters:]
    if affine is not None:
        gain, added = torch.from_numpy(affine.numbers).reshape(2, filters)
        weight, bias = weight * gain[:, None, None, None], bias * gain + added
    layer.weight.data, layer.bias.data = weight, bias
