"""MiniMax-H3, omni-reference to video, opt-in behind its licence."""
