"""What the model costs: parameters, FLOPs, seconds and memory."""
