"""Magic Mirror small enough for a processor: codec, tokenizer, random weights."""
