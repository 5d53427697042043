"""The share of pictures that show what was asked for, as some judge says."""

from collections.abc import Sequence

from t2i_course.contract import require
from t2i_course.metrics.retrieval import wilson
from t2i_course.metrics.score import Score


def share(
    name: str,
    right: Sequence[bool | None],
    real: Sequence[bool | None] = (),
    *,
    judge: str = "the exact reader",
    reference: str = "",
) -> Score:
    """How many of the verdicts are True, of those that are not None (not asked for).

    The interval is Wilson's, 95 %: it stays within [0, 1] and holds for shares near 1.

    Args:
        name: of the score.
        right: one verdict a picture.
        real: the same for real pictures: the ceiling.
        judge: whose verdicts they are.
        reference: which prompts.

    Raises:
        T2IError: if nothing was asked for.
    """
    asked = [one for one in right if one is not None]
    require(len(asked) > 0, f"No prompt asks for what {name!r} scores.")
    value = sum(asked) / len(asked)
    low, high = wilson(value, len(asked))
    best = [one for one in real if one is not None]
    return Score(
        name, value, len(asked), reference=reference, low=low, high=high,
        interval="Wilson, 95 %", ceiling=sum(best) / len(best) if best else None,
        note=f"judged by {judge}",
    )  # fmt: skip
