"""What a reader sees: figures and reports, made from arrays. Nothing here computes a score."""
