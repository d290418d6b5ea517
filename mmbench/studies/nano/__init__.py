"""Magic Mirror small enough for a processor, trained on rendered people: eyes, base, adapters, ablations, figures."""
