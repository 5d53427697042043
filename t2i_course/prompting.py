"""From a sentence to a picture on disk: `t2i sample --prompt`."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from t2i_course import alignment
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import Family, Settings, T2IError, require, write_whole
from t2i_course.data.captions import clean
from t2i_course.data.parsing import parse

LEAST = 256  # pixels of a written picture's side: small ones are enlarged, pixel by pixel


def read_prompts(path: Path) -> list[str]:
    """The prompts in a text file, one a line; empty lines are skipped.

    Raises:
        T2IError: if there is no such file, it is no UTF-8 text, or there is no prompt in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise T2IError(
            f"The prompts cannot be read from {path} ({error}). Give a UTF-8 text file with one "
            "prompt a line."
        ) from error
    prompts = [line.strip() for line in lines if line.strip()]
    require(len(prompts) > 0, f"There is no prompt in {path}: write one a line.")
    return prompts


def draw(
    family: Family,
    clip: TextModel,
    prompts: Sequence[str],
    *,
    count: int = 1,
    seed: int = 0,
    settings: Settings | None = None,
    cleaned: bool = False,
) -> Tensor:
    """`count` pictures of each prompt, `[P, count, C, H, W]` in [0, 1].

    Args:
        cleaned: prepare the prompts as the first paper does, see `captions.clean`.

    Raises:
        T2IError: for a prompt that is empty or too long.
    """
    texts = [clean(one) for one in prompts] if cleaned else list(prompts)
    clip.check(texts)
    encoder = clip.encoder_for(family.settings)
    captions = [text for text in texts for _ in range(count)]
    images = alignment.drawn(family, encoder, captions, seed, settings)
    return images.unflatten(0, (len(texts), count))


def said(image: Tensor, prompt: str) -> str:
    """Whether a picture `[3, S, S]` shows what its prompt says: "right", which parts are "wrong",
    or "" where the exact reader does not understand the prompt."""
    try:
        claim = parse(prompt)
    except T2IError:
        return ""
    found = alignment.judged(image[None], [claim])[0]
    wrong = [part for part in alignment.PARTS if getattr(found, part) is False]
    return f"wrong: {', '.join(wrong)}" if wrong else "right"


def check_folder(out: Path) -> Path:
    """`out` if it is, or can be made, a folder that can be written to; else `T2IError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise T2IError(
            f"The folder {out} cannot be made ({error}). Choose another place by --out."
        ) from error
    require(os.access(out, os.W_OK), f"The folder {out} cannot be written to: choose another one.")
    return out


def write_picture(images: Tensor, out: Path) -> Path:
    """Write pictures `[N, 3, H, W]` in [0, 1] side by side as one PNG, small ones enlarged."""
    strip = (255 * torch.cat(list(images), dim=2)).round().byte().permute(1, 2, 0)  # [H, N·W, 3]
    picture = Image.fromarray(strip.cpu().numpy())
    times = max(1, -(-LEAST // images.shape[2]))
    picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, format="PNG")
    write_whole(out, file.getvalue())
    return out


def write_folder(images: Tensor, prompts: Sequence[str], out: Path, verdicts: bool = True) -> Path:
    """Write each prompt's pictures `[P, N, 3, H, W]` into the folder `out`, as 001.png and so on,
    and prompts.csv: file, prompt and the exact reader's verdict on its first picture; none without
    `verdicts`, for photographs.

    The list is written last: where it is, all pictures are.
    """
    digits = max(3, len(str(len(prompts))))
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file", "prompt", "verdict"])
    for number, (some, prompt) in enumerate(zip(images, prompts, strict=True), start=1):
        name = f"{number:0{digits}}.png"
        write_picture(some, out / name)
        rows.writerow([name, prompt, said(some[0], prompt) if verdicts else ""])
    write_whole(out / "prompts.csv", table.getvalue())
    return out
