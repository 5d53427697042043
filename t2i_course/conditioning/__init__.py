"""From labels and text to the vectors that condition a family."""
