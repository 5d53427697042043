"""From a model to a picture on disk: `t2i sample`."""

from pathlib import Path

import torch

from t2i_course import places
from t2i_course.conditioning.one_hot import one_hot
from t2i_course.contract import (
    Condition,
    Family,
    RowGenerator,
    Settings,
    require,
    unknown,
    write_whole,
)
from t2i_course.data.sketches import CLASSES
from t2i_course.show import plots

INVALID = "invalid"


def label_rows(label: str | None) -> tuple[torch.Tensor, list[str]]:
    """The condition vectors `[R, 10]` and names of a grid's rows.

    Args:
        label: a class's name (in any case) or number; "invalid" for three vectors that no training
            image had (the second paper's figure 5); None for every class.

    Raises:
        T2IError: for an unknown name, with the nearest one.
    """
    if label is None:
        return torch.eye(10), list(CLASSES)
    if label.lower() == INVALID:
        two_hot = one_hot(torch.tensor([1, 8])).sum(0)
        rows = {"all zero": torch.zeros(10), "uniform": torch.full((10,), 0.1), "two-hot": two_hot}
        return torch.stack(list(rows.values())), list(rows)
    names = {name.lower(): k for k, name in enumerate(CLASSES)}
    names |= {str(k): k for k in range(10)}
    if label.lower() not in names:
        raise unknown("label", label, [*CLASSES, INVALID])
    k = names[label.lower()]
    return one_hot(torch.tensor([k])), [CLASSES[k]]


def draw(
    family: Family,
    vectors: torch.Tensor,
    count: int,
    seed: int = 0,
    settings: Settings | None = None,
) -> torch.Tensor:
    """`count` images for each row of `vectors` `[R, D]`: `[R * count, C, H, W]` in [0, 1].

    Each row is drawn from the same random numbers, so that down a column only the condition
    changes; a family without a condition gets fresh numbers for each row. `settings` is of the
    family's `sampling_type`.
    """
    rows = []
    for r, vector in enumerate(vectors):
        if family.conditional:
            condition, key = Condition.of(vector[None]).repeat(count), "sample"
        else:
            condition, key = Condition.none(count), f"sample {r}"
        rows.append(family.sample(condition, RowGenerator(seed, key, rows=count), settings))
    return torch.cat(rows)


def draw_to_file(
    family: Family,
    out: Path,
    label: str | None,
    count: int,
    seed: int,
    settings: Settings | None = None,
) -> Path:
    """Draw a grid, one row a label, and write it as PNG; nothing half-written is left.

    Raises:
        T2IError: for an unknown label, a model of another kind of condition, or a folder that
            cannot be written to.
    """
    places.picture(out)
    vectors, names = label_rows(label)
    if family.conditional:
        D = getattr(family.settings, "condition_dim", None)
        require(
            D == 10, f"This model is not conditioned on FashionMNIST's labels but on {D} numbers."
        )
    else:
        require(label is None, f"This {family.name} has no label: leave --label out.")
        names = [""] * len(names)
    images = draw(family, vectors, count, seed, settings)
    write_whole(out, plots.png(plots.grid(images, count, row_labels=names)))
    return out
