"""Whatever a user holds numbers in, as numpy arrays: torch tensors of any device and dtype, lists, arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def as_array(values: ArrayLike, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """The values on the processor, in their own dtype unless one is given.

    A torch tensor may lie on any device, need gradients, and have a dtype numpy lacks (bfloat16: float32 then); lists
    may hold tensors; None in a list is NaN. A copy in C order, so that sums run alike.
    """
    plain = _plain(values)
    array: NDArray[Any] = np.array(plain, dtype=dtype, order="C")
    return array.astype(np.float64) if array.dtype == object else array


def as_number(value: ArrayLike) -> float:
    """One number: of Python, of numpy, or a tensor of one element."""
    return float(as_array(value).reshape(()))


def _plain(values: Any) -> Any:
    if hasattr(values, "detach"):  # torch is not imported to find out
        tensor = values.detach().cpu()
        try:
            return tensor.numpy()
        except TypeError:  # no such dtype in numpy
            return tensor.float().numpy()
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values
