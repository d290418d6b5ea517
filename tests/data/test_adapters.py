"""The adapters on small random networks in their published layout; and records that can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmbench.data.adapters import (
    NEW_TOKENS,
    Classifier,
    ModelPhotos,
    VisionLanguage,
    make_analyser,
    make_encoder,
    make_generator,
)
from mmbench.data.drawn_corpus import person
from mmbench.data.settings import ToolSettings
from mmbench.errors import ManifestError, MissingWeights, WeightsError


@pytest.fixture(scope="module")
def tiny_captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of a few thousand random weights, saved as its repositories are."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("llava")
    words = ["<pad>", "</s>", "<unk>", "<image>", *["a", "woman", "man", "boy", "is", "smiling", "Describe", "this"]]
    core = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    template = (
        "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image> {% else %}"
        "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        chat_template=template,
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**small, image_size=32, patch_size=16),
            text_config=LlamaConfig(
                **small, num_key_value_heads=2, vocab_size=len(words), pad_token_id=0, eos_token_id=1
            ),
            image_token_index=3,
        )
    )
    model.generation_config.suppress_tokens = [0, 1, 2, 3]  # words only: random weights would end at once
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_vision_language_model_answers_about_one_or_several_pictures(tiny_captioner: Path) -> None:
    captioner = VisionLanguage(str(tiny_captioner), "cpu")
    pictures = [person(seed, (64, 64), 40) for seed in (1, 2)]
    said = captioner.caption(pictures[:1])
    assert len(said.split()) == NEW_TOKENS  # the answer alone, without the question; nothing ends it
    assert captioner.caption(pictures[:1]) == said
    assert captioner.caption(pictures)


def test_a_captioner_that_brings_its_own_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "of_its_own", "auto_map": {"AutoConfig": "code.Config"}}')
    (tmp_path / "code.py").write_text("raise SystemExit('was run')")
    with pytest.raises((WeightsError, MissingWeights)):
        VisionLanguage(str(tmp_path), "cpu")


def test_a_judge_adds_up_what_is_not_to_be_shown(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    def save(labels: list[str]) -> str:
        named: dict[str, Any] = {"id2label": dict(enumerate(labels)), "label2id": {v: k for k, v in enumerate(labels)}}
        small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        model = ViTForImageClassification(ViTConfig(**small, image_size=32, patch_size=16, **named))
        torch.nn.init.zeros_(model.classifier.weight)
        model.classifier.bias.data = torch.tensor([0.0, 2.0, 0.0])[: len(labels)]
        model.save_pretrained(tmp_path)
        ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
        return str(tmp_path)

    chances = torch.tensor([0.0, 2.0, 0.0]).softmax(0)
    judge = Classifier(save(["neutral", "porn", "sexy"]), "cpu")
    assert judge.score(person(1, (64, 64), 40)) == pytest.approx(float(chances[1] + chances[2]), abs=1e-5)
    with pytest.raises(WeightsError, match="none of its labels"):
        Classifier(save(["cat", "dog"]), "cpu")


def test_a_first_frame_maker_is_a_generator(tmp_path: Path) -> None:
    from mmbench.baselines.loading.tiny import make_tiny

    make_tiny(tmp_path, "photomaker_v2")
    maker = make_generator(ToolSettings(generator="photomaker_v2/tiny", weights=tmp_path))
    assert isinstance(maker, ModelPhotos)
    made = maker.make("a woman img smiles", [person(1, (64, 64), 40)], (32, 48), 3)
    assert made.shape == (32, 48, 3)
    np.testing.assert_array_equal(made, maker.make("a woman img smiles", [person(1, (64, 64), 40)], (32, 48), 3))


def test_an_encoder_gives_the_rows_of_the_word() -> None:
    encoder = make_encoder("small:smoke", "cpu")
    assert encoder.word_rows("a woman img is smiling") == (1,)
    assert encoder.text("a woman is smiling").shape[0] == encoder.rows
    assert encoder.latents(np.zeros((9, 32, 48, 3), np.uint8)).shape[::2] == (3, 4)


def test_an_own_tool_is_named_by_its_function() -> None:
    from mmbench.data.drawn import DrawnFaces

    assert isinstance(make_analyser(ToolSettings(faces="mmbench.data.drawn:DrawnFaces")), DrawnFaces)
    with pytest.raises(ManifestError, match=r"tools\.faces"):
        make_analyser(ToolSettings(faces="mmbench.data.drawn:Nobody"))


def test_built_records_can_be_trained_on(built_a: Path, tmp_path: Path) -> None:
    from mmbench.model.train.drawn import drawn_settings
    from mmbench.model.train.loop import train

    stage = {"name": "images", "data": [{"shards": [str(built_a / "A" / "images")]}], "steps": 2, "batch": 2}
    settings = drawn_settings(samples={"texts": str(built_a / "texts")})
    settings = settings.model_validate({**settings.model_dump(), "stages": [stage]})
    done = train(settings, tmp_path, tmp_path / "run")
    assert done.steps == 2
