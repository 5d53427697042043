"""Numbers about generated images: each metric is one file, from scratch, streaming over batches.

A metric sees features, logits or labels, never a model or a data set; what it reports is a
`score.Score`, which carries what the number depends on.
"""
