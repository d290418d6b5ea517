"""Training: what a record holds, the losses, the loop, and what is saved."""
