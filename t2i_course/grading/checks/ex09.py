"""The checks of exercise 09: the text-conditioned CVAE."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, task


@task(
    "ex09-pieces",
    equation=(
        "the different pieces of n letters of <word>, ascending",
        "the different pieces of low to high letters of <word>, and <word> itself, ascending",
    ),
    points=2,
)
def check_pieces(c: Checking) -> None:
    """Different pieces in order, and which ones."""
    drawn = ["".join("abc"[k] for k in c.draw.integers(0, 3, 7).tolist()) for _ in range(3)]
    for number, word in enumerate(("mississippi", *drawn, "to", "a")):
        if c.variant == 1:
            sizes: tuple[int, ...] = (2 + (number + c.draw.integer(0, 2)) % 3,)
            lengths = range(sizes[0], sizes[0] + 1)
            case = f"pieces({word!r}, {sizes[0]})"
        else:
            low = c.draw.integer(2, 4)
            sizes = (low, low + c.draw.integer(2, 4))
            lengths = range(low, sizes[1] + 1)
            case = f"pieces({word!r}, {low}, {sizes[1]})"
        came = c.answer(word, *sizes)
        words = isinstance(came, list) and all(isinstance(one, str) for one in came)
        c.holds(words, "contract", case, "a list of words", f"{came!r}")
        once = "each piece counts once, however often the word has it."
        c.holds(len({*came}) == len(came), "property", case, "different pieces", f"{came}", once)
        c.holds(came == sorted(came), "property", case, "ascending", f"{came}", "sort them.")
        whole = {f"<{word}>"} if c.variant == 2 else set()
        slips = {
            "the marks < and > are missing.": _cut(word, lengths) | ({word} if whole else set()),
            "the last piece is missing: it ends with the >.": _cut(f"<{word}>", lengths, -1)
            | whole,
            "no shorter pieces at the word's end.": _cut(f"<{word}>", lengths, 99) | whole,
            "the first piece is missing: it begins with the <.": _cut(f"{word}>", lengths) | whole,
        }
        if whole:
            slips |= {
                "high is the longest length, so it counts too.": whole
                | _cut(f"<{word}>", lengths[:-1]),
                "the marked word itself is missing.": _cut(f"<{word}>", lengths),
                "the whole word keeps its marks.": _cut(f"<{word}>", lengths) | {word},
                "all lengths from low to high, not these two only.": whole
                | _cut(f"<{word}>", (lengths[0], lengths[-1])),
            }
        expected = sorted(_cut(f"<{word}>", lengths) | whole)
        c.equal(came, expected, case, slips={text: sorted(some) for text, some in slips.items()})


def _cut(text: str, lengths: range | tuple[int, ...], more: int = 0) -> set[str]:
    """The pieces of these lengths, with `more` starting places than there are whole pieces."""
    starts = {n: range(min(len(text), max(0, len(text) - n + 1 + more))) for n in lengths}
    return {text[i : i + n] for n in lengths for i in starts[n]}


@task(
    "ex09-text_values",
    equation=(
        "Σ_d Σ_ij W[o, d, i, j] c[d], of the first row and column over i, j in {1, 2}, else "
        "over all",
        "Σ_d Σ_ij W[o, d, i, j] c[d], of the first row and column over i, j in {1, 2}, of the "
        "last in {0, 1}, else over all",
    ),
    points=3,
    reference="t2i_course.models.text_cvae:ConcatConv2d",
)
def check_text_values(c: Checking) -> None:
    """A kernel without a border, linearity, and a convolution of a constant map."""
    B, D, out = 3, 5, 4
    n, stride = (2, 2) if c.variant == 1 else (3, 1)
    weight, text = c.draw.normal(out, D, 3, 3), c.draw.normal(B, D)
    case = f"{B} texts of {D} numbers, {out} channels, stride {stride}"
    values = c.answer(weight, text)
    c.tensor(values, (B, out, n, n), case)
    maps = text.double()[:, :, None, None].expand(-1, -1, 6, 6)
    places = [0, 1] if c.variant == 1 else [0, 1, -1]

    def convolved(kernel: Tensor) -> Tensor:
        y = F.conv2d(maps, kernel.double(), stride=stride, padding=1)
        return y[:, :, places][:, :, :, places]

    def wrongs(kernel: Tensor) -> dict[str, Tensor]:
        expected = convolved(kernel)
        plain = (text.double() @ kernel.double().sum((2, 3)).T)[:, :, None, None]
        return {
            "the border is missing: there a part of the kernel lies in the padding.": plain.expand(
                -1, -1, n, n
            ),
            "rows and columns are exchanged: the last index goes along a row.": expected.mT,
            "at the first row it is the kernel's first row that lies in the padding: a convolution "
            "in torch does not flip the kernel.": convolved(kernel.flip(2, 3)),
            "at the border one of the kernel's three rows or columns is missing, and two stay.": (
                _one_line(kernel, text, n)
            ),
            "the mean of the taps: sum them.": expected / 9,
            "first inside and then border: the border comes first.": expected.flip(2, 3),
        }

    middle = torch.zeros_like(weight)
    middle[:, :, 1, 1] = weight[:, :, 1, 1]
    c.close(
        c.answer(middle, text), convolved(middle),
        "a kernel that is 0 but for its middle: no border", layer="property", slips=wrongs(middle),
    )  # fmt: skip
    c.agrees(c.answer(weight, 2 * text), 2 * values, "twice the text", was="is twice the first")
    c.close(values, convolved(weight), case, slips=wrongs(weight))


def _one_line(weight: Tensor, text: Tensor, n: int) -> Tensor:
    """What comes if only the line in the padding is kept at the border, in place of the others."""
    lines = [slice(0, 1), slice(None)] if n == 2 else [slice(0, 1), slice(None), slice(2, 3)]
    rows = [torch.stack([weight[:, :, i, j].sum((2, 3)) for j in lines], -1) for i in lines]
    return torch.einsum("oduv,bd->bouv", torch.stack(rows, 2), text).double()


@task(
    "ex09-he_std",
    equation=(
        "σ = √(2 / n), n the numbers that one output sums over",
        "σ = √(2 / ((1 + a²) n)), n the numbers that one output sums over, a the slope",
    ),
    points=2,
)
def check_he_std(c: Checking) -> None:
    """Linear layers and convolutions, plain and transposed."""
    a = c.draw.integer(3, 10)
    b = 7 * a + 3
    k, k_w = c.draw.integer(3, 5), c.draw.integer(5, 8)
    slope = float(c.draw.uniform(1, low=0.2, high=0.9)) if c.variant == 2 else 0.0
    more = (slope,) if c.variant == 2 else ()
    forms = (
        ("a linear layer", [a, b], 1, False, b, 1),
        ("a convolution", [a, b, k, k_w], 1, False, b * k * k_w, k * k_w),
        ("a convolution with stride 2", [a, b, k, k_w], 2, False, b * k * k_w, k * k_w),
        ("a transposed convolution", [a, b, k, k_w], 1, True, a * k * k_w, k * k_w),
        (
            "a transposed convolution with stride 2", [a, b, k, k_w], 2, True, a * k * k_w / 4,
            k * k_w,
        ),
    )  # fmt: skip
    gain = 2 / (1 + slope**2)
    for name, shape, stride, transposed, n, area in forms:
        case = f"{name}, weight of shape {shape}" + (f", slope {slope:.3g}" if more else "")
        std = c.answer(shape, stride, transposed, *more)
        wrong = {
            "that is the variance: take its square root.": gain / n,
            "the 2 for the rectifier is missing.": math.sqrt(gain / 2 / n),
            "n counts the inputs, not the outputs; in a transposed convolution's weight they come "
            "first.": math.sqrt(gain * shape[1 - transposed] / n / shape[int(transposed)]),
            "one output sums over the kernel's places, too: times k · k.": math.sqrt(
                gain * area / n
            ),
            "with stride 2 only a quarter of the taps meets an output of a transposed "
            "convolution.": math.sqrt(gain / n / stride**2),
            "the stride counts twice, once for rows and once for columns.": math.sqrt(
                gain / n / stride
            ),
            "more taps by the stride? Fewer: divide n by its square.": math.sqrt(
                gain / n / stride**4
            ),
            "a convolution's stride changes how many outputs there are, not what one sums "
            "over.": math.sqrt(gain * stride**2 / n),
        }
        if more:
            wrong |= {
                "the slope is missing.": math.sqrt(2 / n),
                "the slope enters by its square.": math.sqrt(2 / ((1 + slope) * n)),
                "1 + a² divides.": math.sqrt(2 * (1 + slope**2) / n),
                "1 + a²: the negative half passes something on as well.": math.sqrt(
                    2 / ((1 - slope**2) * n)
                ),
            }
        c.close(std, math.sqrt(gain / n), case, slips=wrong, atol=1e-7)


@task(
    "ex09-standardise",
    equation="(v − mean) / standard deviation, both of the sample, number by number",
    points=2,
)
def check_standardise(c: Checking) -> None:
    """The sample itself, other vectors, and a number that never varies."""
    N, M, D = 8, 5, 4
    scale, shift = c.draw.uniform(D, low=0.5, high=3.0), c.draw.normal(D)
    sample, vectors = scale * c.draw.normal(N, D) + shift, c.draw.normal(M, D)
    case = f"a sample of {N} vectors, {M} others"
    came = c.answer(sample, vectors)
    c.tensor(came, (M, D), case, slips={(N, D): "the vectors come back, not the sample."})
    x, s = sample.double(), sample.double().std(0)

    def wrongs(vectors: Tensor) -> dict[str, Tensor]:
        v = vectors.double()
        moved = v - x.mean(0)
        along = (v - v.mean(1, keepdim=True)) / v.std(1, keepdim=True)
        return {
            "those of the sample count: vectors to come must not change mean and deviation.": (
                (v - v.mean(0)) / v.std(0)
            ),
            "the variance: take the standard deviation.": moved / s**2,
            "one deviation for all numbers: each of the D has its own.": moved / x.std(),
            "divided by N, not by N − 1.": moved / x.std(0, correction=0),
            "multiplied by the deviation: divide.": moved * s,
            "the division by the deviation is missing.": moved,
            "the mean of each number is taken away first.": v / s,
            "one mean for all numbers: each of the D has its own.": (v - x.mean()) / s,
            "go down the sample, not along a row.": along,
        }

    c.close(
        c.answer(sample, sample).mean(0), torch.zeros(D), "the sample itself: its means afterwards",
        layer="property", slips={words: each.mean(0) for words, each in wrongs(sample).items()},
    )  # fmt: skip
    c.close(came, (vectors.double() - x.mean(0)) / s, case, slips=wrongs(vectors))
    flat = sample.clone()
    flat[:, 1] = 0.25
    case = "a sample in which one number is always 0.25"
    came = c.answer(flat, vectors)
    c.holds(
        isinstance(came, Tensor) and bool(came.isfinite().all()), "oracle", case,
        "finite numbers", f"{came}", "its deviation is 0: do not divide by that.",
    )  # fmt: skip
    s = torch.where(torch.arange(D) == 1, 1.0, s)
    likely = "where the deviation is 0 the mean is taken away, and no more."
    c.close(came, (vectors.double() - flat.double().mean(0)) / s, case, slips={likely: came})


@task(
    "ex09-who_decides",
    equation="Var_p(x_p·) / Var(x), Var_z(x_·z) / Var(x), and the rest to 1; each variance is "
    "summed over the pixels",
    points=3,
)
def check_who_decides(c: Checking) -> None:
    """Pictures that follow one of the two alone, and both."""
    P, Z, shape = 4, 3, (2, 3, 2)
    strength = c.draw.uniform(*shape, low=0.2, high=3.0)
    prompt = strength * c.draw.normal(P, 1, *shape)
    latent, both = c.draw.normal(1, Z, *shape), c.draw.normal(P, Z, *shape)
    x = prompt + latent + 0.7 * both + c.draw.normal(*shape)
    case = f"{P} prompts with {Z} latents each"
    shares = c.answer(x)
    c.tensor(shares, (3,), case)
    c.close(
        shares.sum(), 1.0, "the three shares, summed", layer="property",
        slips={"a share is divided by the whole variance.": shares.sum()},
    )  # fmt: skip
    for name, some in {"the prompt": prompt, "the latent": latent}.items():
        some = some.expand(P, Z, *shape)
        c.close(
            c.answer(some), _shares(some), f"pictures that follow {name} alone", layer="property",
            slips=_slips_of_shares(some),
        )  # fmt: skip
    c.close(shares, _shares(x), case, slips=_slips_of_shares(x))


def _slips_of_shares(x: Tensor) -> dict[str, Tensor]:
    a, b, rest = _shares(x)
    return {
        "x is [prompt, latent, …]: the mean over the latents leaves what the prompt decides, and "
        "that share comes first.": torch.stack([b, a, rest]),
        "first sum the variances over the pixels, then divide: not the mean of each pixel's "
        "shares.": _shares(x, each=True),
        "these variances divide by the number of values, not by one less.": _shares(x, 1, 1),
        "the whole variance divides by the number of pictures, not by one less.": _shares(x, 0, 1),
        "the parts' variances divide by the number of means, not by one less.": _shares(x, 1, 0),
        "variances add up, standard deviations do not.": _shares(x, power=0.5),
    }


def _shares(
    x: Tensor, part: int = 0, whole: int = 0, each: bool = False, power: float = 1.0
) -> Tensor:
    """The three shares; `part` and `whole` are the variances' corrections."""
    y = x.double().flatten(2)  # [P, Z, N]
    total = y.flatten(0, 1).var(0, correction=whole) ** power
    parts = [y.mean(way).var(0, correction=part) ** power for way in (1, 0)]
    a, b = ((one / total).mean() if each else one.sum() / total.sum() for one in parts)
    return torch.stack([a, b, 1 - a - b])
