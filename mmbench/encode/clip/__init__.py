"""OpenAI's CLIP over single frames, from the hub's files: CLIPScore's, and the one below LAION's head."""
