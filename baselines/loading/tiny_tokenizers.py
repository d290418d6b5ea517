"""Small tokenizers in the file formats of the real ones, built without the network: every character is a token."""

from __future__ import annotations

import io
from pathlib import Path

from mmbench.files import write_json

LETTERS = [chr(code) for code in range(33, 127)]


def write_t5(folder: Path, length: int) -> int:
    """A T5 unigram tokenizer over ASCII (`spiece.model`); returns its vocabulary size."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(LETTERS)] * 3),
        model_writer=model,
        vocab_size=98,
        model_type="unigram",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        character_coverage=1.0,
        num_threads=1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write(folder / "special_tokens_map.json", special)
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "T5Tokenizer", "model_max_length": length, "extra_ids": 0, **special},
    )
    return 98


def write_clip(folder: Path, pad: str = "<|endoftext|>", length: int = 77) -> int:
    """A byte-level CLIP tokenizer (`vocab.json`, `merges.txt`); returns its vocabulary size, 514.

    SDXL's second tokenizer pads with "!", which is id 0 here as in the real one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    letters = byte_letters()
    # "!" comes first among the byte letters, as in CLIP's vocabulary.
    entries = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    _write(folder / "vocab.json", {entry: index for index, entry in enumerate(entries)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    _write(folder / "special_tokens_map.json", special)
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, **special},
    )
    return len(entries)


def write_bert(folder: Path, length: int) -> int:
    """A BERT word-piece tokenizer over ASCII (`vocab.txt`); returns its vocabulary size."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    special = {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    _write(folder / "special_tokens_map.json", special)
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "model_max_length": length, "do_lower_case": True, **special},
    )
    return len(entries)


def write_qwen2(folder: Path, special: tuple[str, ...] = ()) -> int:
    """A byte-level Qwen2 tokenizer with a plain chat template; returns its vocabulary size, 257 and the `special`."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = byte_letters()
    _write(folder / "vocab.json", {letter: index for index, letter in enumerate(letters)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    template = (
        "{% for m in messages %}{{ m['role'] + ': ' }}"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
        "{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "model_max_length": 32768,
            "pad_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "chat_template": template,
            "added_tokens_decoder": {
                str(len(letters) + index): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for index, token in enumerate(("<|endoftext|>", *special))
            },
        },
    )
    return len(letters) + 1 + len(special)


def byte_letters() -> list[str]:
    """The 256 printable letters that byte-level BPE writes bytes as, printable bytes first (GPT-2's table)."""
    kept = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(code) for code in kept] + [chr(256 + index) for index in range(256 - len(kept))]


def _write(path: Path, document: object) -> None:
    write_json(path, document)
