"""Published weight files into networks, and small random ones in the same layouts."""
