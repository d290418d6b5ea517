"""Videos made, one job a video, to be continued after any interruption."""
