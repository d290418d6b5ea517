"""ViCLIP: its two towers, and how close they see a clip and a text."""
