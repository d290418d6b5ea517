"""Whom the pictures show: one person's views, or one person for each prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmbench.errors import RequestError
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.pipeline.people import people_in
from mmbench.model.small.nano import example_reference

A, B = example_reference(0), example_reference(1)


def test_shapes_of_the_argument():
    assert people_in(A) == [[A]]
    assert people_in([A, B]) == [[A, B]]
    assert people_in([[A], [B]]) == [[A], [B]]
    assert people_in(((A, B),), 2) == [[A, B]]
    assert people_in(A, 3) == [[A]]
    for bad in ([], [[]], [A, [B]]):
        with pytest.raises(RequestError):
            people_in(bad)
    with pytest.raises(RequestError, match="one person each"):
        people_in([A, B], 2)
    with pytest.raises(RequestError, match="2 people for 3"):
        people_in([[A], [B]], 3)


def test_each_prompt_has_its_own_person(pipe, run):
    """Two prompts with two people give the two videos that each gives alone, not a blend."""
    prompts = ["a young man img is smiling", "a woman img is talking"]
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    frames = run(prompts, id_image=[[A], [B, B]], generator=generators).frames
    for index, picture in enumerate((A, B)):
        alone = run(prompts[index], id_image=picture, seed=5 + index).frames
        assert np.allclose(frames[index], alone[0], atol=1e-5)


def test_the_same_picture_four_times_is_that_picture(pipe):
    one, four = pipe.encode_face(A), pipe.encode_face([A] * 4)
    assert torch.allclose(one.identity, four.identity, atol=1e-5)
    assert torch.allclose(one.tokens, four.tokens, atol=1e-5)


def test_unlike_pictures_are_warned_of(pipe, caplog, monkeypatch):
    pipe.encode_face([A, A])
    assert "different people" not in caplog.text
    real = pipe.face_analyser
    vectors = iter([np.eye(32, dtype=np.float32)[i] for i in range(2)])

    class Unlike:
        def find(self, picture, side=640):
            return real.find(picture)

        def embed(self, picture, face):
            return next(vectors)

    monkeypatch.setattr(pipe, "face_analyser", Unlike())
    pipe.encode_face([A, B])
    assert "different people" in caplog.text


def test_the_crop_is_the_face_encoders(pipe):
    """Training and use must cut alike, so the margin is a field of the encoder's config."""
    wide = type(pipe.face_encoder)(**{**pipe.face_encoder.config, "crop_margin": 3.0}).eval()
    wide.load_state_dict(pipe.face_encoder.state_dict())
    held, pipe.face_encoder = pipe.face_encoder, wide
    try:
        other = pipe.encode_face(A)
    finally:
        pipe.face_encoder = held
    assert (other.tokens - pipe.encode_face(A).tokens).abs().max() > 1e-4


def test_embeddings_are_kept_and_stacked(pipe, run, tmp_path, caplog):
    faces = [pipe.encode_face(A), pipe.encode_face(B)]
    both = FaceEmbeds.stack(faces)
    assert torch.equal(both.identity[1:], faces[1].identity)
    read = FaceEmbeds.load(both.save(tmp_path / "faces.safetensors"))
    assert read.encoder == both.encoder != ""
    assert torch.equal(read.tokens, both.tokens)
    run(["a man img"] * 2, face_embeds=read, num_inference_steps=1)
    assert "other weights" not in caplog.text
    run(face_embeds=FaceEmbeds(faces[0].identity, faces[0].tokens, "another"), num_inference_steps=1)
    assert "other weights" in caplog.text
    with pytest.raises(RequestError, match="different weights"):
        FaceEmbeds.stack([faces[0], FaceEmbeds(faces[1].identity, faces[1].tokens, "another")])


def test_embeddings_are_brought_to_the_pipelines_device(pipe, run, monkeypatch):
    seen = []
    real = FaceEmbeds.to

    def watch(self, device=None, dtype=None):
        seen.append(device)
        return real(self, device, dtype)

    face = pipe.encode_face(A)
    monkeypatch.setattr(FaceEmbeds, "to", watch)
    run(face_embeds=face, num_inference_steps=1)
    assert seen == [pipe._execution_device]


def test_a_callbacks_face_is_checked_and_fused_anew(pipe, run):
    other = pipe.encode_face(B)
    texts = []

    def swap(pipeline, step, timestep, values):
        texts.append(values["prompt_embeds"].clone())
        return {"face_embeds": other}

    names = ["latents", "prompt_embeds", "face_embeds"]
    run(callback_on_step_end=swap, callback_on_step_end_tensor_inputs=names)
    assert (texts[0] - texts[1]).abs().max() > 1e-6
    assert torch.equal(texts[1], texts[2])
    three = FaceEmbeds.stack([other] * 3)
    with pytest.raises(RequestError, match="3 identities"):
        run(callback_on_step_end=lambda *_: {"face_embeds": three})
