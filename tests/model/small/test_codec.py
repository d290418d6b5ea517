"""The linear codec: shapes, whitening, fidelity on clips that it has not seen, linearity."""

from __future__ import annotations

import pytest
import torch

from mmbench.model.small.codec import PatchPCACodec
from mmbench.model.small.nano import drawn_clips


@pytest.fixture(scope="module")
def codec():
    made = PatchPCACodec(8, 64)
    made.fit(drawn_clips(16, 9, 64, seed=1))
    return made


def test_shapes_and_whitening(codec):
    z = codec.encode(drawn_clips(16, 9, 64, seed=1)).latent_dist.mode()
    assert z.shape == (16, 64, 3, 8, 8)
    assert torch.allclose(z.mean(dim=(0, 2, 3, 4)), torch.zeros(64), atol=1e-3)
    assert torch.allclose(z.std(dim=(0, 2, 3, 4)), torch.ones(64), atol=0.05)


def test_held_out_clips_survive(codec):
    clips = drawn_clips(4, 9, 64, seed=2)
    error = (codec(clips) - clips).square().mean() / 4
    assert -10 * error.log10() > 28  # hard-edged drawings; 28.7 dB measured


def test_complete_basis_is_lossless():
    clips = drawn_clips(6, 5, 16, seed=3)
    codec = PatchPCACodec(2, 48)
    codec.fit(clips)
    assert torch.allclose(codec(clips), clips, atol=1e-4)


def test_decoder_is_affine_and_single_frames_work(codec):
    a, b = torch.randn(2, 1, 64, 3, 8, 8).unbind(0)
    decoded = [codec.decode(x).sample for x in (a, b, (a + b) / 2)]
    assert torch.allclose(decoded[2], (decoded[0] + decoded[1]) / 2, atol=1e-5)
    assert codec.decode(a[:, :, :1]).sample.shape == (1, 3, 1, 64, 64)
    assert torch.allclose(codec.decode(a[:, :, :1]).sample[:, :, 0], decoded[0][:, :, 0], atol=1e-6)


def test_bad_shapes_are_refused(codec):
    with pytest.raises(ValueError, match="4k\\+1"):
        codec.encode(torch.zeros(1, 3, 8, 64, 64))
    with pytest.raises(ValueError, match="power of two"):
        PatchPCACodec(6, 4)


def test_save_and_load(codec, tmp_path):
    codec.save_pretrained(tmp_path)
    again = PatchPCACodec.from_pretrained(str(tmp_path))
    z = torch.randn(1, 64, 1, 8, 8)
    for name, tensor in codec.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    # a file's weights lie elsewhere in memory, and sums may round otherwise
    torch.testing.assert_close(again.decode(z).sample, codec.decode(z).sample, rtol=0, atol=1e-5)


def test_half_whitened_latents_have_unit_variance_on_average():
    clips = drawn_clips(16, 9, 64, seed=1)
    codec = PatchPCACodec(8, 64)
    codec.fit(clips, whiten=0.5)
    z = codec.encode(clips).latent_dist.mode()
    variances = z.var(dim=(0, 2, 3, 4))
    assert float(variances.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(variances[0]) > 4 * float(variances[-1])  # the first component stays the strongest
    error = (codec(clips) - clips).square().mean()
    whole = PatchPCACodec(8, 64)
    whole.fit(clips)
    assert float(error) == pytest.approx(float((whole(clips) - clips).square().mean()), rel=1e-3)
