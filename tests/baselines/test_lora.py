"""The merge of low-rank updates against running them beside the layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmbench.baselines.loading.lora import locate_processor, merge
from mmbench.errors import WeightsError


def attention() -> nn.Module:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_q = nn.Linear(6, 8, bias=False)
            self.to_out = nn.ModuleList([nn.Linear(8, 6), nn.Identity()])

    root = nn.Module()
    root.block = nn.Module()
    root.block.attn1 = Attention()
    return root


def update(part: str, out: int, inner: int, rank: int = 3) -> dict[str, torch.Tensor]:
    key = f"unet.block.attn1.processor.to_{part}_lora"
    return {f"{key}.down.weight": torch.randn(rank, inner), f"{key}.up.weight": torch.randn(out, rank)}


def test_merged_weights_do_what_the_update_beside_them_does() -> None:
    torch.manual_seed(0)
    module = attention()
    state = update("q", 8, 6) | update("out", 6, 8)
    x, y = torch.randn(5, 6), torch.randn(5, 8)
    layer, out = module.block.attn1.to_q, module.block.attn1.to_out[0]
    wanted = [
        layer(x) + x @ state["unet.block.attn1.processor.to_q_lora.down.weight"].T
        @ state["unet.block.attn1.processor.to_q_lora.up.weight"].T,
        out(y) + y @ state["unet.block.attn1.processor.to_out_lora.down.weight"].T
        @ state["unet.block.attn1.processor.to_out_lora.up.weight"].T,
    ]  # fmt: skip
    assert merge(module, state, locate_processor, "x.bin") == 2
    for found, expected in zip((layer(x), out(y)), wanted, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def test_half_precision_weights_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    module = attention().to(torch.bfloat16)
    weight = module.block.attn1.to_q.weight.detach().clone()
    state = update("q", 8, 6)
    merge(module, state, locate_processor, "x.bin", scale=0.5)
    down, up = (state[f"unet.block.attn1.processor.to_q_lora.{half}.weight"] for half in ("down", "up"))
    exact = weight.double() + 0.5 * up.double() @ down.double()
    half_step = torch.exp2(exact.abs().log2().floor() - 8)  # bfloat16 keeps 8 digits: the nearest is this close
    assert ((module.block.attn1.to_q.weight.double() - exact).abs() <= half_step + 1e-6).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state | {"unet.block.attn1.to_q.lora_A.weight": torch.zeros(1)},
        lambda state: state | update("q", 8, 6, 3).fromkeys(["text_encoder.x"], torch.zeros(1)),
        lambda state: {key: value for key, value in state.items() if "up" not in key},
        lambda state: {key.replace("attn1", "attn2"): value for key, value in state.items()},
        lambda state: {key: value[:, :4] if "down" in key else value for key, value in state.items()},
    ],
)
def test_keys_that_do_not_fit_change_nothing(spoil: object) -> None:
    module = attention()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(WeightsError):
        merge(module, spoil(update("q", 8, 6)), locate_processor, "x.bin")  # type: ignore[operator]
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])
