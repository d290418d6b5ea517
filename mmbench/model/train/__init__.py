"""Training: what a record holds, the losses, the loop, and what is saved.

Read in this order: `settings` -> `record`, `shards`, `text_store`, `drawn` (data on disk) -> `plan`, `batch` (what a
step sees) -> `module`, `loss`, `step` (one forward pass) -> `optimiser`, `build`, `processes`, `loop`, `running` (the
run) -> `checkpoint`, `release` (what it leaves).
"""
