"""Known answers to exercise 09."""

import math

import torch
import torch.nn.functional as F
from known_answers import right, wrong

# --- pieces


@right("ex09-pieces")
def with_a_list(word, n):
    text, found = "<" + word + ">", []
    for end in range(n, len(text) + 1):
        if text[end - n : end] not in found:
            found.append(text[end - n : end])
    found.sort()
    return found


@wrong("ex09-pieces", says="marks")
def without_marks(word, n):
    return sorted({word[i : i + n] for i in range(len(word) - n + 1)})


@wrong("ex09-pieces", says="once")
def as_often_as_they_come(word, n):
    marked = f"<{word}>"
    return sorted(marked[i : i + n] for i in range(len(marked) - n + 1))


@wrong("ex09-pieces", says="sort them")
def in_the_order_of_the_word(word, n):
    marked = f"<{word}>"
    return list(dict.fromkeys(marked[i : i + n] for i in range(len(marked) - n + 1)))


@wrong("ex09-pieces", says="last piece is missing", layer="oracle")
def range_ends_too_early(word, n):
    marked = f"<{word}>"
    return sorted({marked[i : i + n] for i in range(len(marked) - n)})


@wrong("ex09-pieces", says="no shorter pieces", layer="oracle")
def tails_too(word, n):
    marked = f"<{word}>"
    return sorted({marked[i : i + n] for i in range(len(marked))})


@wrong("ex09-pieces", says="begins with the <", layer="oracle")
def marked_behind_only(word, n):
    marked = f"{word}>"
    return sorted({marked[i : i + n] for i in range(len(marked) - n + 1)})


@right("ex09-pieces", variant=2)
def length_by_length(word, low, high):
    text = f"<{word}>"
    found = {text}
    for n in range(low, min(high, len(text)) + 1):
        found.update(text[i : i + n] for i in range(len(text) - n + 1))
    return sorted(found)


def _runs(text, lengths):
    return {text[i : i + n] for n in lengths for i in range(len(text) - n + 1)}


@wrong("ex09-pieces", says="longest length", layer="oracle", variant=2)
def high_left_out(word, low, high):
    return sorted(_runs(f"<{word}>", range(low, high)) | {f"<{word}>"})


@wrong("ex09-pieces", says="word itself is missing", layer="oracle", variant=2)
def word_left_out(word, low, high):
    return sorted(_runs(f"<{word}>", range(low, high + 1)))


@wrong("ex09-pieces", says="keeps its marks", layer="oracle", variant=2)
def bare_word_added(word, low, high):
    return sorted(_runs(f"<{word}>", range(low, high + 1)) | {word})


@wrong("ex09-pieces", says="all lengths", layer="oracle", variant=2)
def shortest_and_longest(word, low, high):
    return sorted(_runs(f"<{word}>", (low, high)) | {f"<{word}>"})


@wrong("ex09-pieces", says="marks < and >", layer="oracle", variant=2)
def unmarked(word, low, high):
    return sorted(_runs(word, range(low, high + 1)) | {word})


# --- text_values


def _kernel_sums(weight, text, lines):
    rows = [torch.stack([weight[:, :, i][..., j].sum((2, 3)) for j in lines], 2) for i in lines]
    return torch.einsum("oduv,bd->bouv", torch.stack([r.mT.mT for r in rows], 2), text)


@right("ex09-text_values")
def by_sums_of_the_kernel(weight, text):
    values = torch.zeros(len(text), len(weight), 2, 2)
    for u, rows in enumerate((slice(1, 3), slice(0, 3))):
        for v, columns in enumerate((slice(1, 3), slice(0, 3))):
            values[:, :, u, v] = text @ weight[:, :, rows, columns].sum((2, 3)).T
    return values


@right("ex09-text_values")
def from_a_large_map(weight, text):
    maps = text[:, :, None, None].repeat(1, 1, 32, 32).double()
    return F.conv2d(maps, weight.double(), stride=2, padding=1)[:, :, :2, :2].float()


@wrong("ex09-text_values", says="border is missing", layer="oracle")
def one_value(weight, text):
    return (text @ weight.sum((2, 3)).T)[:, :, None, None].expand(-1, -1, 2, 2)


@wrong("ex09-text_values", says="rows and columns", layer="oracle")
def transposed(weight, text):
    return by_sums_of_the_kernel(weight, text).mT


@wrong("ex09-text_values", says="does not flip", layer="oracle")
def last_row_cut(weight, text):
    return by_sums_of_the_kernel(weight.flip(2, 3), text)


@wrong("ex09-text_values", says="two stay")
def the_cut_row_kept(weight, text):
    return _kernel_sums(weight, text, (slice(0, 1), slice(0, 3)))


@wrong("ex09-text_values", says="border comes first", layer="oracle")
def inside_first(weight, text):
    return by_sums_of_the_kernel(weight, text).flip(2, 3)


@wrong("ex09-text_values", says="shape [3, 4, 2, 2]")
def map_too_large(weight, text):
    maps = text[:, :, None, None].expand(-1, -1, 6, 6)
    return F.conv2d(maps, weight, stride=2, padding=1)


@right("ex09-text_values", variant=2)
def nine_sums(weight, text):
    lines = (slice(1, 3), slice(0, 3), slice(0, 2))
    rows = [[text @ weight[:, :, u, v].sum((2, 3)).T for v in lines] for u in lines]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@wrong("ex09-text_values", says="border is missing", layer="oracle", variant=2)
def inside_everywhere(weight, text):
    return (text @ weight.sum((2, 3)).T)[:, :, None, None].expand(-1, -1, 3, 3)


@wrong("ex09-text_values", says="does not flip", layer="oracle", variant=2)
def first_and_last_exchanged(weight, text):
    return nine_sums(weight, text).flip(2, 3)


@wrong("ex09-text_values", says="rows and columns", layer="oracle", variant=2)
def columns_first(weight, text):
    return nine_sums(weight, text).mT


@wrong("ex09-text_values", says="two stay", variant=2)
def one_line_at_the_border(weight, text):
    return _kernel_sums(weight, text, (slice(0, 1), slice(0, 3), slice(2, 3)))


@wrong("ex09-text_values", says="mean of the taps", variant=2)
def averaged(weight, text):
    return nine_sums(weight, text) / 9


# --- he_std


@right("ex09-he_std")
def by_cases(shape, stride, transposed):
    if len(shape) == 2:
        return (2 / shape[1]) ** 0.5
    first, second, height, width = shape
    if transposed:
        return stride * (2 / (first * height * width)) ** 0.5
    return (2 / (second * height * width)) ** 0.5


def _fan(shape, stride, transposed):
    inputs = shape[0] if transposed else shape[1]
    return inputs * math.prod(shape[2:]) / (stride**2 if transposed else 1)


@wrong("ex09-he_std", says="variance", layer="oracle")
def variance(shape, stride, transposed):
    return 2 / _fan(shape, stride, transposed)


@wrong("ex09-he_std", says="2 for the rectifier", layer="oracle")
def without_the_two(shape, stride, transposed):
    return _fan(shape, stride, transposed) ** -0.5


@wrong("ex09-he_std", says="not the outputs", layer="oracle")
def fan_out(shape, stride, transposed):
    return (2 / _fan([shape[1], shape[0], *shape[2:]], stride, transposed)) ** 0.5


@wrong("ex09-he_std", says="come first", layer="oracle")
def transposed_read_as_plain(shape, stride, transposed):
    n = shape[1] * math.prod(shape[2:]) / (stride**2 if transposed else 1)
    return (2 / n) ** 0.5


@wrong("ex09-he_std", says="times k", layer="oracle")
def without_the_kernel(shape, stride, transposed):
    return (2 / _fan(shape[:2], stride, transposed)) ** 0.5


@wrong("ex09-he_std", says="only a quarter", layer="oracle")
def stride_forgotten(shape, stride, transposed):
    return (2 / _fan(shape, 1, transposed)) ** 0.5


@wrong("ex09-he_std", says="not what one sums", layer="oracle")
def stride_of_every_convolution(shape, stride, transposed):
    return (2 * stride**2 / _fan(shape, 1, transposed)) ** 0.5


@right("ex09-he_std", variant=2)
def gain_and_fan(shape, stride, transposed, slope):
    gain = torch.nn.init.calculate_gain("leaky_relu", slope)
    return gain / math.sqrt(_fan(shape, stride, transposed))


@wrong("ex09-he_std", says="slope is missing", layer="oracle", variant=2)
def slope_ignored(shape, stride, transposed, slope):
    return (2 / _fan(shape, stride, transposed)) ** 0.5


@wrong("ex09-he_std", says="by its square", layer="oracle", variant=2)
def slope_not_squared(shape, stride, transposed, slope):
    return (2 / ((1 + slope) * _fan(shape, stride, transposed))) ** 0.5


@wrong("ex09-he_std", says="1 + a² divides", layer="oracle", variant=2)
def slope_multiplies(shape, stride, transposed, slope):
    return (2 * (1 + slope**2) / _fan(shape, stride, transposed)) ** 0.5


@wrong("ex09-he_std", says="passes something on", layer="oracle", variant=2)
def slope_taken_away(shape, stride, transposed, slope):
    return (2 / ((1 - slope**2) * _fan(shape, stride, transposed))) ** 0.5


@wrong("ex09-he_std", says="only a quarter", layer="oracle", variant=2)
def no_stride_with_slope(shape, stride, transposed, slope):
    return (2 / ((1 + slope**2) * _fan(shape, 1, transposed))) ** 0.5


# --- standardise


@right("ex09-standardise")
def number_by_number(sample, vectors):
    columns = []
    for x, v in zip(sample.T, vectors.T, strict=True):
        moved = v - x.mean()
        spread = ((x - x.mean()).square().sum() / (len(x) - 1)).sqrt()
        columns.append(moved / spread if spread > 0 else moved)
    return torch.stack(columns, dim=1)


@wrong("ex09-standardise", says="those of the sample", layer="oracle")
def by_their_own_statistics(sample, vectors):
    if torch.equal(sample, vectors):
        return (sample - sample.mean(0)) / sample.std(0)
    return (vectors - vectors.mean(0)) / vectors.std(0)


@wrong("ex09-standardise", says="the variance", layer="oracle")
def by_the_variance(sample, vectors):
    return (vectors - sample.mean(0)) / sample.var(0)


@wrong("ex09-standardise", says="one deviation for all", layer="oracle")
def one_deviation(sample, vectors):
    return (vectors - sample.mean(0)) / sample.std()


@wrong("ex09-standardise", says="divided by N", layer="oracle")
def divided_by_n(sample, vectors):
    return (vectors - sample.mean(0)) / sample.std(0, correction=0)


@wrong("ex09-standardise", says="do not divide by that", layer="oracle")
def divided_by_zero(sample, vectors):
    return (vectors - sample.mean(0)) / sample.std(0)


@wrong("ex09-standardise", says="is taken away first")
def mean_left_in(sample, vectors):
    return vectors / sample.std(0)


@wrong("ex09-standardise", says="go down the sample")
def along_the_rows(sample, vectors):
    return (vectors - vectors.mean(1, keepdim=True)) / vectors.std(1, keepdim=True)


# --- who_decides


@right("ex09-who_decides")
def by_effects(x):
    x = x.double().flatten(2)
    grand = x.mean((0, 1))
    prompt = (x.mean(1) - grand).square().mean(0).sum()
    latent = (x.mean(0) - grand).square().mean(0).sum()
    rest = (x - x.mean(1, keepdim=True) - x.mean(0, keepdim=True) + grand).square()
    parts = torch.stack([prompt, latent, rest.mean((0, 1)).sum()])
    return (parts / parts.sum()).float()


def _of(x, correction_of_parts=0, correction=0):
    total = x.flatten(0, 1).var(0, correction=correction)
    return total, *(x.mean(d).var(0, correction=correction_of_parts) for d in (1, 0))


def _three(prompt, latent):
    return torch.stack([prompt, latent, 1 - prompt - latent])


@wrong("ex09-who_decides", says="comes first")
def latent_first(x):
    total, prompt, latent = _of(x)
    return _three(latent.sum() / total.sum(), prompt.sum() / total.sum())


@wrong("ex09-who_decides", says="pixel's shares", layer="oracle")
def mean_of_each_pixels_shares(x):
    total, prompt, latent = _of(x)
    return _three((prompt / total).mean(), (latent / total).mean())


@wrong("ex09-who_decides", says="not by one less")
def unbiased_variances(x):
    total, prompt, latent = _of(x, 1, 1)
    return _three(prompt.sum() / total.sum(), latent.sum() / total.sum())


@wrong("ex09-who_decides", says="whole variance divides by")
def unbiased_whole(x):
    total, prompt, latent = _of(x, 0, 1)
    return _three(prompt.sum() / total.sum(), latent.sum() / total.sum())


@wrong("ex09-who_decides", says="standard deviations do not", layer="oracle")
def deviations(x):
    total, prompt, latent = (each.sqrt().sum() for each in _of(x))
    return _three(prompt / total, latent / total)


@wrong("ex09-who_decides", says="whole variance.")
def variances_left_whole(x):
    total, prompt, latent = (each.sum() for each in _of(x))
    return torch.stack([prompt, latent, total - prompt - latent])
