"""The trained module: one forward, every trained parameter in every step, one policy of types, sharded or not."""

from __future__ import annotations

import copy
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmbench.model.network.configs import size_named
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.network.variants import VARIANTS
from mmbench.model.train.module import MagicMirrorModel

pytestmark = pytest.mark.filterwarnings("ignore")


def build(variant="Full", random=True, **config):
    """A smoke model; `random` fills what starts at zero, so that every part matters."""
    from mmbench.model.small.nano import randomise_zeros

    size, switches = size_named("smoke"), VARIANTS[variant].transformer_config()
    torch.manual_seed(0)
    transformer = MagicMirrorTransformer3DModel(**(size.transformer | switches | config))
    encoder = MagicMirrorFaceEncoder(**size.face_encoder, **VARIANTS[variant].face_encoder_config())
    if random:
        for part in (transformer, encoder):
            randomise_zeros(part)
    return MagicMirrorModel(transformer, encoder).train()


def inputs(batch=2, **changes):
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    g = torch.Generator().manual_seed(1)
    size = size_named("smoke")
    words = torch.tensor([[3, 4, -1, -1], [2, -1, -1, -1]])[:batch]
    made = {
        "noisy": torch.randn(batch, 3, size.transformer["in_channels"], 4, 4, generator=g),
        "text": torch.randn(batch, 160, 32, generator=g),
        "word_positions": words,
        "timestep": torch.tensor([500, 20])[:batch],
        "rotary": get_3d_rotary_pos_embed(16, ((0, 0), (2, 2)), (2, 2), 3),
        "id_vectors": torch.randn(batch, 2, 32, generator=g),
        "pixels": torch.randn(batch, 2, 3, 32, 32, generator=g),
        "ref_valid": torch.tensor([[True, True], [True, False]])[:batch],
    }
    return made | changes


def step(model, given, optimiser=None):
    loss = (model(**given) - torch.linspace(-1, 1, 4)).square().mean()
    loss.backward()
    if optimiser is not None:
        optimiser.step()
    return loss.item()


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("keep", [(True, True), (False, True), (True, False), (False, False)])
def test_every_trained_parameter_has_a_gradient_under_every_drop(variant, keep):
    """`find_unused_parameters=False` needs a gradient tensor for each, also when the whole batch is dropped."""
    model = build(variant)
    trained = model.freeze()
    step(model, inputs(keep_identity=torch.full((2,), keep[0]), keep_text=torch.full((2,), keep[1])))
    assert [n for n, p in trained.items() if p.grad is None] == []
    others = [n for n, p in model.named_parameters() if p.grad is not None and n not in trained]
    assert others == []


@pytest.mark.parametrize("variant", ["A", "B", "E", "Full"])
def test_every_trained_parameter_moves_by_the_second_step(variant):
    """One sample keeps its identity and one loses it, so that null rows and everything else are trained."""
    model = build(variant, random=False)
    trained = model.freeze()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    # steps of one size, however small a gradient is
    optimiser = torch.optim.Adam(trained.values(), lr=1e-2, eps=1e-20)
    for _ in range(3):
        step(model, inputs(keep_identity=torch.tensor([True, False])), optimiser)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == set(trained)


def test_dropped_identity_and_text_leave_no_trace():
    """A dropped sample is predicted as with any other face; a dropped text is not fused into."""
    model = build().eval()
    other = inputs()["pixels"].flip(0), inputs()["id_vectors"].flip(0)
    with torch.no_grad():
        dropped = [
            model(**inputs(keep_identity=torch.tensor([True, False]), **change))
            for change in ({}, {"pixels": torch.cat([inputs()["pixels"][:1], other[0][1:]])})
        ]
        plain = model(**inputs(word_positions=torch.full((2, 4), -1)))
        textless = model(**inputs(keep_text=torch.tensor([False, False])))
        fused = model(**inputs())
    assert torch.equal(dropped[0], dropped[1])
    assert torch.equal(plain, textless)
    assert (plain - fused).abs().max() > 1e-5


def test_it_equals_the_three_calls_of_the_pipeline():
    model, given = build().eval(), inputs(batch=1, ref_valid=None)
    mask = torch.zeros(1, 160, dtype=torch.bool)
    mask[0, 3:5] = True
    with torch.no_grad():
        face = model.face_encoder(given["pixels"], given["id_vectors"])
        text = model.face_encoder.fuse(given["text"], mask, face)
        want = model.transformer(
            given["noisy"], text, given["timestep"], image_rotary_emb=given["rotary"], face=face
        ).sample
        assert torch.allclose(model(**given), want, atol=1e-6)


def test_kept_features_stand_for_the_pictures():
    model, given = build().eval(), inputs()
    with torch.no_grad():
        features = torch.stack(model.face_encoder.see(given["pixels"]), dim=2)
        want = model(**given)
        assert torch.allclose(model(**(given | {"pixels": None, "features": features})), want, atol=1e-6)


def test_padded_references_change_nothing():
    model, given = build().eval(), inputs()
    padded = {k: given[k].clone() for k in ("pixels", "id_vectors")}
    for value in padded.values():
        value[1, 1] = float("nan")
    with torch.no_grad():
        assert torch.equal(model(**(given | padded)), model(**given))


def test_frozen_towers_record_nothing_and_stay_in_evaluation_mode():
    model = build()
    model.freeze()
    model.train()
    encoder = model.face_encoder
    assert not encoder.vision.training
    assert encoder.tau_face.training
    face = encoder(inputs()["pixels"], inputs()["id_vectors"])
    assert face.tokens.requires_grad
    assert not face.identity.requires_grad


def test_bfloat16_base_with_float32_adapters():
    """The policy of real training: frozen parts bfloat16, trained parts float32, no autocast."""
    exact = build().eval()
    model = copy.deepcopy(exact).to(torch.bfloat16)
    trained = model.freeze()
    kinds = {n: p.dtype for n, p in model.named_parameters()}
    assert {kinds[n] for n in trained} == {torch.float32}
    assert {d for n, d in kinds.items() if n not in trained} == {torch.bfloat16}
    assert model.transformer.dtype == torch.bfloat16
    out = model(**inputs())
    with torch.no_grad():
        want = exact(**inputs())
    assert out.dtype == torch.float32
    assert (out - want).norm() < 0.03 * want.norm()
    step(model, inputs())
    assert {p.grad.dtype for p in trained.values()} == {torch.float32}


def test_mixed_types_on_the_tabulated_path():
    """Validation during training: bfloat16 base, float32 adapters, tables."""
    from mmbench.model.fast.forward import FastPlan
    from mmbench.model.fast.tables import tabulate_schedule, tabulate_video

    model = build().to(torch.bfloat16)
    model.freeze()
    given, transformer = inputs(), model.transformer.eval()
    with torch.no_grad():
        face = model.face_encoder(given["pixels"], given["id_vectors"])
        schedule = tabulate_schedule(transformer, (500,))
        plan = FastPlan(schedule, tabulate_video(transformer, schedule, face))
        shared = {
            "hidden_states": given["noisy"].bfloat16(),
            "encoder_hidden_states": given["text"].bfloat16(),
            "timestep": torch.tensor([500, 500]),
            "image_rotary_emb": given["rotary"],
        }
        direct = transformer(**shared, face=face).sample.float()
        tabulated = transformer(**shared, plan=plan, step=0).sample.float()
    # both round every product to bfloat16 (2^-8), in another order
    assert (direct - tabulated).norm() < 0.02 * direct.norm()


def test_checkpointing_changes_no_gradient():
    model = build()
    trained = model.freeze()
    step(model, inputs())
    want = {n: p.grad.clone() for n, p in trained.items()}
    model.zero_grad()
    model.enable_gradient_checkpointing()
    step(model, inputs())
    assert all(torch.allclose(p.grad, want[n], atol=1e-6) for n, p in trained.items())


SHARDS_HERE = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 7)  # before, FSDP2 needs a GPU
CASES = {
    "plain": {},
    "checkpointing": {"checkpointing": True},
    "precision policy": {"policy": True},
    "current rows": {"checkpointing": True, "ca_source": "current"},
}


def _sharded(rank, world, checkpointing=False, policy=False, ca_source="embedding"):
    """Loss gradients of one sharded step over both ranks, and what the parts give when called alone afterwards."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    model = build(ca_source=ca_source)
    model.freeze()
    mesh = init_device_mesh("cpu", (world,))
    extra = {"mp_policy": MixedPrecisionPolicy(param_dtype=torch.float32)} if policy else {}
    for unit in [*model.shard_units(), model]:
        fully_shard(unit, mesh=mesh, **extra)
    if checkpointing:
        model.enable_gradient_checkpointing()
    mine = _share(rank, world)
    step(model, mine)
    grads = {n: p.grad.full_tensor() for n, p in model.trained().items()}
    with torch.no_grad():  # the transformer alone, as a pipeline calls it between steps
        face = model.face_encoder(mine["pixels"], mine["id_vectors"], mine["ref_valid"])
        text = model.face_encoder.fuse_words(mine["text"], mine["word_positions"], face)
        alone = model.transformer(mine["noisy"], text, mine["timestep"], image_rotary_emb=mine["rotary"], face=face)
    return {"grads": grads, "alone": alone.sample}


def _replicated(rank, world):
    """Gradients after steps in which one rank drops while the other does not."""
    from torch.nn.parallel import DistributedDataParallel

    model = build()
    trained = model.freeze()
    wrapped = DistributedDataParallel(model, find_unused_parameters=False)
    for identity, text in ((True, True), (False, False), (True, False)):
        model.zero_grad()
        flags = {"keep_identity": torch.tensor([identity or rank == 1]), "keep_text": torch.tensor([text])}
        step(wrapped, _share(rank, world) | flags)
    return {"grads": {n: p.grad for n, p in trained.items()}}


def _share(rank, world):
    return {k: v[rank::world] if torch.is_tensor(v) and v.shape[0] == 2 else v for k, v in inputs().items()}


def _work(rank, world, port, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        made = {name: _sharded(rank, world, **case) for name, case in CASES.items() if SHARDS_HERE}
        made["replicated"] = _replicated(rank, world)
        if rank == 0:
            torch.save(made, out)
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """What two processes made of every case; started once."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    out = tmp_path_factory.mktemp("spread") / "made.pt"
    mp.spawn(_work, (2, port, str(out)), nprocs=2)
    return torch.load(out, weights_only=True)


@pytest.mark.skipif(not SHARDS_HERE, reason="torch 2.6 shards on GPUs only")
@pytest.mark.parametrize("case", list(CASES))
def test_sharded_training_has_the_gradients_of_the_plain_model(spread, case):
    """FSDP2 rebuilds what it hands to a block: the decoupled face attention must survive that."""
    model = build(ca_source=CASES[case].get("ca_source", "embedding"))
    trained = model.freeze()
    step(model, inputs())
    for name, parameter in trained.items():
        # sums of a few thousand float32 products in another order
        assert torch.allclose(spread[case]["grads"][name], parameter.grad, rtol=1e-4, atol=1e-6), name
    values = [p.grad for n, p in trained.items() if n.endswith("kv.to_v.weight")]
    assert values
    assert all(bool(v.any()) for v in values)
    with torch.no_grad():
        want = model(**inputs())[:1]
    assert torch.allclose(spread[case]["alone"], want, atol=1e-5)


def test_replicated_training_survives_every_drop(spread):
    model = build()
    trained = model.freeze()
    step(model, inputs(keep_identity=torch.tensor([True, True]), keep_text=torch.tensor([False, False])))
    for name, parameter in trained.items():
        assert torch.allclose(spread["replicated"]["grads"][name], parameter.grad, rtol=1e-4, atol=1e-6), name
