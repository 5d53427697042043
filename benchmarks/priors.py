"""unCLIP's two steps against one: a sentence's embedding, a picture's made of it, then a picture.

    python benchmarks/priors.py [--steps 1500] [--prompts 300] [--smoke]

Three U-Nets of the recipe diffusion-shapes, each trained for so many steps (by the clock the last
would pay for looking at the pictures): one reads the tokens, one is given the sentence's vector,
one (the decoder) the picture's own. The third then draws from sentences through a prior: a
regression, or diffusion; for comparison from the sentence's vector as it is, and from that of a
drawing that fits. Runs that are there are not repeated. Writes benchmarks/results/priors.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from t2i_course import alignment, recipes, runs, texts
from t2i_course.conditioning import clip
from t2i_course.contract import Condition, TextEncoder, write_whole
from t2i_course.data import drawn
from t2i_course.models.diffusion import Diffusion, SampleSettings
from t2i_course.models.prior import KINDS
from t2i_course.places import runs_root

RESULTS = Path(__file__).parent / "results"
RECIPE, PRIOR = "diffusion-shapes", "prior-shapes"
PRIOR_STEPS = 2_000
ASKED = ("one", "one, held out", "two", "two, held out")
PARTS = ("kind", "colour", "size", "place", "all")


def followed(run: Path, recipe: str, data: drawn.CaptionedImages, **how: object) -> Path:
    """The run in that folder, trained or gone on with."""
    command = "python benchmarks/priors.py"
    runs.follow(recipe, run, data, command=command, stopped=f"Stopped: {command} goes on.", **how)
    return run


def of_drawings(tiny: clip.Clip, asked: alignment.Prompts) -> TextEncoder:
    """The prompts' conditions if a perfect prior knew the drawings that they were written for."""
    x = tiny.images(asked.drawings / 255)
    known = dict(zip(asked.captions, x, strict=True))
    return replace(
        tiny.encoder(tokens=False),
        function=lambda captions: Condition.of(torch.stack([known[one] for one in captions])),
    )


def main(steps: int, count: int, smoke: bool) -> None:
    torch.set_num_threads(1)
    tiny, side = clip.load(), 32
    data = drawn.mixed("train", 0.02 if smoke else 1.0)
    long = 2 if smoke else PRIOR_STEPS
    root = runs_root() / ("priors-smoke" if smoke else "priors")
    readers = {}
    for kind in KINDS:
        run = followed(root / kind, PRIOR, data, reader=tiny, steps=long, settings={"kind": kind})
        readers[kind] = texts.load(run)
    tokens = followed(root / "tokens", RECIPE, data, reader=tiny, steps=steps)
    vector = followed(
        root / "vector", RECIPE, data, reader=tiny, settings={"token_dim": 0}, steps=steps
    )
    decoder = followed(root / "decoder", RECIPE, data, reader=readers["diffusion"], steps=steps)
    sentence, pictures = tiny.encoder(tokens=False), "a fitting drawing's vector, the decoder"
    rows: dict[str, tuple[Path, TextEncoder | None]] = {
        "the sentence's tokens and vector": (tokens, tiny.encoder()),
        "the sentence's vector": (vector, sentence),
        "regression prior, the decoder": (decoder, readers["regression"].encoder()),
        "diffusion prior, the decoder": (decoder, readers["diffusion"].encoder()),
        "no prior: the sentence's vector, the decoder": (decoder, sentence),
        pictures: (decoder, None),
    }
    settings = SampleSettings(**recipes.recipe(RECIPE).sampling)
    head = [f"{kind}: {part}" for kind in ASKED for part in (PARTS if kind == "one" else ("all",))]
    lines = ["| drawn from | " + " | ".join(head) + " |", "| --- " * (len(head) + 1) + "|"]
    for title, (run, encoder) in rows.items():
        family = runs.load_family(run)
        assert isinstance(family, Diffusion)
        cells = []
        for kind in ASKED:
            asked = alignment.prompts(kind, count, side)
            given = encoder or of_drawings(tiny, asked)
            images = alignment.drawn(family, given, asked.captions, 0, settings)
            scores = alignment.score(images, asked, kind)
            cells += [f"{scores[part].value:.1%}" for part in (PARTS if kind == "one" else ["all"])]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    text = "\n".join(
        [
            f"# One step or two, from a sentence to a picture: {steps:,} steps a U-Net",
            "",
            f"torch {torch.__version__}, 1 thread, one seed. {len(data):,} drawings of 32x32 with "
            f"`tiny`'s embeddings; a prior learns for {long:,} steps of 256. {count} prompts of "
            "each kind, judged by the exact reader: the share of which a part, or all, is right.",
            "",
            *lines,
        ]
    )
    print(text)
    if not smoke:
        write_whole(RESULTS / "priors.md", text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--smoke", action="store_true", help="small and fast; writes nothing")
    given = parser.parse_args()
    if given.smoke:
        given.steps, given.prompts = 2, 6
    main(given.steps, given.prompts, given.smoke)
