"""The checks of the exercises, one module each: `check_…` takes what the learner wrote."""
