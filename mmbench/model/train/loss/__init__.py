"""What the training minimises: the denoising loss, its face mask, the identity loss, and the drops."""
