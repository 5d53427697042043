"""Pictures as HTML with their words: what a widget sends to the page, small and at once."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
import PIL.Image
from matplotlib.figure import Figure

from t2i_course.contract import require
from t2i_course.show.figure import Array, check_alt, png
from t2i_course.show.grids import checked_images


def gallery(
    images: Array, alts: Sequence[str], captions: Sequence[str] = (), scale: int = 4, gap: int = 8
) -> str:
    """Images side by side, wrapped where the page is narrow, each with its words and caption.

    Args:
        images: `[N, C, H, W]` in [0, 1], C = 1 or 3.
        alts: N sentences for those who cannot see them.
        captions: N, or none.
        scale: screen pixels per image pixel.
        gap: screen pixels between two.

    Raises:
        T2IError: for another shape, range or number of words.
    """
    pixels = checked_images(images)
    N, _, H, W = pixels.shape
    require(
        len(alts) == N and len(captions) in (0, N),
        f"{N} images need {N} alts and as many captions or none, not {len(alts)} and "
        f"{len(captions)}.",
    )
    figures = []
    for image, alt, caption in zip(pixels, alts, captions or [""] * N, strict=True):
        check_alt(alt)
        eight_bits = np.rint(255 * image.transpose(1, 2, 0)).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(eight_bits.squeeze(-1) if len(image) == 1 else eight_bits).save(
            file, format="PNG"
        )
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        figures.append(
            f'<figure style="margin: 0; width: {W * scale}px">'
            f"{_img(file.getvalue(), alt, W * scale, H * scale, 'image-rendering: pixelated')}"
            f"{below}</figure>"
        )
    style = f"display: flex; flex-wrap: wrap; gap: {gap}px; line-height: 1.35; margin-bottom: 6px"
    return f'<div style="{style}">{"".join(figures)}</div>'


def chart(figure: Figure, alt: str) -> str:
    """A Matplotlib figure with its words; it shrinks with the page. `T2IError` without a sentence.

    A figure that is drawn a second time, after its lines have changed, keeps its layout.
    """
    check_alt(alt)
    width, height = (round(float(side)) for side in figure.get_size_inches() * figure.dpi)
    return _img(png(figure, quick=True), alt, width, height, "max-width: 100%; height: auto")


def heading(text: str) -> str:
    """A line above pictures."""
    return f'<div style="margin: 2px 0; line-height: 1.35">{html.escape(text)}</div>'


def _img(content: bytes, alt: str, width: int, height: int, style: str) -> str:
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" '
        f'height="{height}" decoding="sync" style="{style}; margin: 0">'
    )
