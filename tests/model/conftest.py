"""Tiny real networks of the model's own classes; everything seeded, one thread."""

from __future__ import annotations

import pytest
import torch

from mmbench.model.network.face_embeds import FaceEmbeds

TINY = {
    "num_attention_heads": 4,
    "attention_head_dim": 16,
    "in_channels": 8,
    "out_channels": 8,
    "time_embed_dim": 32,
    "text_embed_dim": 32,
    "num_layers": 4,
    "sample_width": 8,
    "sample_height": 8,
    "sample_frames": 9,
    "max_text_seq_length": 8,
    "use_rotary_positional_embeddings": True,
    "attention_bias": True,
}
IDENTITY = {"face_dim": 24, "num_face_tokens": 4, "id_proj_dim": 16, "can_hidden_dim": 16}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def stock():
    """The stock CogVideoX transformer at toy size, every weight random."""
    from diffusers import CogVideoXTransformer3DModel

    torch.manual_seed(0)
    model = CogVideoXTransformer3DModel(**TINY).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def make_model(stock):
    """A Magic Mirror model on copies of the stock weights; `random=True` fills what starts at zero."""
    from mmbench.model.network.transformer import ADAPTER_PREFIXES, MagicMirrorTransformer3DModel

    def make(random: bool = True, **config):
        import copy

        torch.manual_seed(1)
        model = MagicMirrorTransformer3DModel.from_transformer(copy.deepcopy(stock), **(IDENTITY | config)).eval()
        if random:
            for name, parameter in model.named_parameters():
                if name.startswith(ADAPTER_PREFIXES):
                    torch.nn.init.normal_(parameter, std=0.1)
        return model

    return make


@pytest.fixture(scope="session")
def batch():
    """Inputs of two samples: keyword arguments of the transformer, without a face."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    generator = torch.Generator().manual_seed(2)
    return {
        "hidden_states": torch.randn(2, 3, 8, 8, 8, generator=generator),
        "encoder_hidden_states": torch.randn(2, 8, 32, generator=generator),
        "timestep": torch.tensor([500, 500]),
        "image_rotary_emb": get_3d_rotary_pos_embed(16, ((0, 0), (4, 4)), (4, 4), 3),
    }


@pytest.fixture(scope="session")
def face():
    """Embeddings of two identities."""
    generator = torch.Generator().manual_seed(3)
    return FaceEmbeds(torch.randn(2, 2, 24, generator=generator), torch.randn(2, 4, 24, generator=generator))


@pytest.fixture(scope="session")
def pipe():
    """The smoke pipeline. Tests must not change it."""
    from mmbench.model.small.nano import build_pipeline

    return build_pipeline("smoke", seed=0)


@pytest.fixture(scope="session")
def reference():
    """A drawn face."""
    from mmbench.model.small.nano import example_reference

    return example_reference(0)


@pytest.fixture(scope="session")
def run(pipe, reference):
    """Call a pipeline (the smoke one by default) with small settings; returns the output."""

    def call(prompt="a young man img is smiling", pipeline=None, seed=0, **kwargs):
        settings = {"num_inference_steps": 4, "output_type": "np", "id_image": reference} | kwargs
        if "face_embeds" in settings or settings.get("id_image") is None:
            settings.pop("id_image", None)
        settings.setdefault("generator", torch.Generator().manual_seed(seed))
        return (pipeline or pipe)(prompt, **settings)

    return call
