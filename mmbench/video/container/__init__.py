"""Container files through FFmpeg: is the file whole, which track is shown, how fast, which way up, and its frames."""
