"""RetinaFace: its network, its decoding, and the eyes that use it."""
