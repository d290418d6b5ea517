"""Magic Mirror behind the interface of its rivals."""
