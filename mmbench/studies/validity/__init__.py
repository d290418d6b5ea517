"""Every metric against the truth of rendered faces (`mmbench validity`)."""
