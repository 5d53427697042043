"""Checks, hand-outs and marks: what a class sees of its own progress."""
