"""DynamiCrafter."""
