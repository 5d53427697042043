"""Numbers about generated images: each metric is one file, from scratch.

A metric sees features, logits, labels or pictures as tensors, never a model or a data set. What
is a mean over images streams over batches; what compares each with all others takes them at once.
What is reported is a `score.Score`, which carries what the number depends on.
"""
