"""The README's pictures, drawn by the weights that ship: `make pictures`.

Nothing is chosen: each is the first that its prompt or label gets, with seed 0.
"""

import textwrap
from pathlib import Path

import torch
from matplotlib.figure import Figure

from t2i_course import prompting, runs, sampling
from t2i_course.contract import RowGenerator, write_whole
from t2i_course.show import plots
from t2i_course.show.figure import look, png

HERE = Path(__file__).parent
PROMPTS = (
    "a small red circle above a large blue square",
    "a large yellow star in the middle",
    "three small green squares",
    "a small yellow cross inside a large purple circle",
    "two blue stars",
    "a large red triangle at the top left",
    "a small green circle at the bottom right",
    "a black circle to the left of a red cross",
)
FAMILIES = {"VAE": "cvae-fashion", "GAN": "gan-fashion", "diffusion": "diffusion-fashion"}
SHAPES = "diffusion-shapes"
COLOURS = {True: "#00664a", False: "#a33c00"}  # of the words right and wrong


def prompts() -> Figure:
    """Eight sentences, the first picture drawn for each, and what the exact reader says of it."""
    clip = runs.load_clip(SHAPES)
    family = runs.load_family(SHAPES)
    settings = runs.sampling_settings(SHAPES, family, {})
    images = prompting.draw(family, clip, PROMPTS, settings=settings)[:, 0]
    with look():
        figure = Figure(figsize=(8.2, 5.4), layout="constrained")
        for axes, image, prompt in zip(figure.subplots(2, 4).flat, images, PROMPTS, strict=True):
            axes.imshow(image.permute(1, 2, 0), interpolation="lanczos", vmin=0, vmax=1)
            axes.set_title(
                "\n".join(textwrap.wrap(prompt, 27)), fontsize=9, loc="left", va="bottom"
            )
            verdict = prompting.said(image, prompt)
            axes.set_xlabel(
                "\n".join(textwrap.wrap(verdict, 27)),
                fontsize=9,
                loc="left",
                color=COLOURS[verdict == "right"],
            )
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
    return figure


def film() -> Figure:
    """From noise to a picture: what the model sees, and what it expects at the end."""
    family = runs.load_family(SHAPES)
    settings = runs.sampling_settings(SHAPES, family, {"steps": 12})
    seen: list[torch.Tensor] = []
    expected: list[torch.Tensor] = []

    def watch(t: float, x_t: torch.Tensor, x_0: torch.Tensor) -> None:
        seen.append((x_t[0].clamp(-1, 1) + 1) / 2)
        expected.append((x_0[0].clamp(-1, 1) + 1) / 2)

    condition = runs.load_clip(SHAPES).encoder_for(family.settings)([PROMPTS[0]])
    family.sample(condition, RowGenerator(0, "sample", rows=1), settings, watch=watch)
    keep = [0, 2, 4, 5, 6, 7, 9, len(seen) - 1]
    images = torch.stack([seen[k] for k in keep] + [expected[k] for k in keep])
    return plots.grid(images, len(keep), row_labels=["what it has", "what it expects"], scale=2.5)


def families() -> Figure:
    """Ten labels, drawn by the three families."""
    vectors, names = sampling.label_rows(None)
    rows = []
    for name in FAMILIES.values():
        family = runs.load_family(name)
        settings = runs.sampling_settings(name, family, {})
        rows.append(sampling.draw(family, vectors, 1, settings=settings))
    return plots.grid(
        torch.cat(rows), 10, row_labels=list(FAMILIES), column_labels=names, scale=2.5
    )


if __name__ == "__main__":
    for drawing in (prompts, film, families):
        write_whole(HERE / f"{drawing.__name__}.png", png(drawing()))
        print(f"assets/{drawing.__name__}.png")
