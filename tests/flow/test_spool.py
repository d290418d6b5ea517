from __future__ import annotations

import numpy as np
import pytest
import torch

from mmbench.flow.spool import Spool
from mmbench.flow.store import FeatureStore


def test_slots_come_back_in_any_order():
    arrays = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    with Spool((3, 4), np.float32) as spool:
        for slot in (4, 0, 2):
            spool.write(slot, arrays[slot])
        assert 2 in spool and 1 not in spool
        for slot in (2, 4, 0):
            np.testing.assert_array_equal(spool.read(slot), arrays[slot])
        with pytest.raises(KeyError):
            spool.read(1)


def test_a_wrong_shape_or_dtype_is_refused():
    with Spool((2,), np.uint8) as spool:
        with pytest.raises(ValueError, match="expected uint8"):
            spool.write(0, np.zeros(2, np.int16))
        with pytest.raises(ValueError, match="expected uint8"):
            spool.write(0, np.zeros(3, np.uint8))


@pytest.mark.parametrize("kept", [0, 1, 10])
def test_features_survive_whether_kept_or_spooled(kept):
    rows = torch.randn(6, 4, 3)
    with FeatureStore(kept) as store:
        for slot, row in enumerate(rows):
            store.put(slot, row)
        for slot in (5, 0, 3, 0):
            assert slot in store
            assert torch.equal(store.get(slot), rows[slot])
        with pytest.raises(KeyError):
            store.get(6)
