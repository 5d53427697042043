"""Training: one engine for all families, its checkpoints, and the running average of weights."""
