"""The checks of exercise 11: photographs with captions."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DistributedSampler

from t2i_course.grading.checking import Checking, task

SENTENCES = (
    "A {0} man on the left holds a kite.",
    "Left of the {0} dog stands a cat.",
    "The {0} one on the right looks left.",
    "Right shoe, left shoe: a {0} pair.",
    "A bright {0} lamp upright on a table.",
    "Leftovers of a {0} cake.",
    "a {0} cat in a box",
)
SIDES = r"\b([Ll]eft|[Rr]ight)\b"
WHOLE = "whole words only: 'bright' and 'leftovers' name no side."
ADJECTIVES = ("red", "tall", "wet", "old", "striped")


def _pair(c: Checking, value: Any, case: str) -> tuple[Any, Any]:
    pair = isinstance(value, list | tuple) and len(value) == 2
    c.holds(pair, "contract", case, "two values", f"a {type(value).__name__}")
    return value[0], value[1]


@task(
    "ex11-item",
    equation="x = u / 255, channels first; caption number(epoch, i) mod K of image i's own K",
    points=2,
)
def check_item(c: Checking) -> None:
    """All images in six epochs: the pictures' layout and range, and which captions come."""
    N, H, W, epochs = 4, 4, 6, 6
    images = c.draw.integers(0, 256, N, H, W, 3).to(torch.uint8)
    captions = [[f"caption {k} of image {i}" for k in range(K)] for i, K in enumerate((5, 6, 1, 7))]
    table = c.draw.integers(0, 1_000_000, epochs, epochs).tolist()
    asked = [(i, epoch) for epoch in range(epochs) for i in range(N)]
    came = []
    for i, epoch in asked:
        case = f"image {i} in epoch {epoch}"
        value = c.answer(images, captions, i, epoch, lambda epoch, i: table[epoch][i])
        picture, caption = _pair(c, value, case)
        came.append(caption)
        c.tensor(
            picture, (3, H, W), case,
            slips={
                (H, W, 3): "channels first: the colours come in front of rows and columns.",
                (3, W, H): "rows stay in front of columns: permute, do not transpose.",
            },
        )  # fmt: skip
        x = images[i].double().permute(2, 0, 1)
        low, high = float(picture.min()), float(picture.max())
        c.holds(
            0 <= low <= high <= 1, "property", case, "numbers from 0 to 1",
            f"{low:.3g} to {high:.3g}", "divide by 255." if high > 1 else "[0, 1], not [−1, 1].",
        )  # fmt: skip
        c.holds(
            caption in captions[i], "property", case, f"a caption of image {i}", f"{caption!r}",
            "each image has its own captions, in the list of its own number.",
        )  # fmt: skip
        cut = images[i].double().reshape(3, H, W)
        slips = {
            "white is 255, and must become 1: divide by 255, not by 256.": x / 256,
            "the numbers were cut anew and not moved: permute, do not reshape.": cut / 255,
            "red comes first, as in the picture.": x.flip(0) / 255,
        }
        c.close(picture, x / 255, case, slips=slips)

    def chosen(number: Callable[[int, int], int]) -> list[str]:
        return [captions[i][number(epoch, i) % len(captions[i])] for i, epoch in asked]

    c.equal(
        came, chosen(lambda epoch, i: table[epoch][i]), f"the captions of {epochs} epochs",
        slips={
            "always the first caption: draw one by number(epoch, i).": chosen(lambda epoch, i: 0),
            "the epoch comes first: number(epoch, i).": chosen(lambda epoch, i: table[i][epoch]),
            "the same in every epoch: give it to `number`.": chosen(lambda epoch, i: table[0][i]),
            "draw for this image: give `number` its i.": chosen(lambda epoch, i: table[epoch][0]),
        },
    )  # fmt: skip


@task(
    "ex11-centre_square",
    equation=(
        "the middle square of min(H, W) pixels, each block of k x k pixels averaged",
        "each block of k x k pixels averaged, k = max(H, W) / size, in the middle of a grey square",
    ),
    points=3,
)
def check_centre_square(c: Checking) -> None:
    """A picture whose middle is white, upright and lying pictures: what is kept, and averaged."""
    k, size = c.draw.integer(2, 4), 5 if c.variant == 1 else 7
    short, more = k * size, 2 * c.draw.integer(2, 5) + 1
    if c.variant == 1:
        forms = ((short, short + more), (short + more, short), (short, short))
    else:  # five of seven rows or columns of blocks are missing
        forms = ((short - 5 * k, short), (short, short - 5 * k), (short, short))
    wrongs = _cropped if c.variant == 1 else _padded
    for H, W in forms:
        image, plain = c.draw.uniform(3, H, W), torch.zeros(3, H, W)
        case = f"a picture of {H}x{W} to {size}x{size}"
        square = c.answer(image, size)
        c.tensor(square, (3, size, size), case)
        if c.variant == 1:
            y, x, side = (H - min(H, W)) // 2, (W - min(H, W)) // 2, min(H, W)
            plain[:, y : y + side, x : x + side] = 1
        else:
            plain[:, :, 2 * k :] = 1
        expected, slips = wrongs(plain, size, k)
        c.close(
            c.answer(plain, size), expected, f"{case}, of black and white parts", layer="property",
            slips=slips,
        )  # fmt: skip
        expected, slips = wrongs(image, size, k)
        c.close(square, expected, case, slips=slips)


def _blocks(image: Tensor, k: int) -> Tensor:
    C, H, W = image.shape
    return image.double().reshape(C, H // k, k, W // k, k).mean((2, 4))


def _cropped(image: Tensor, size: int, k: int) -> tuple[Tensor, dict[str, Tensor]]:
    _, H, W = image.shape
    side = min(H, W)
    y, x = (H - side) // 2, (W - side) // 2

    def cut(y: int, x: int, side: int) -> Tensor:
        return image[:, y : y + side, x : x + side]

    small = cut((H - size) // 2, (W - size) // 2, size)
    return _blocks(cut(y, x, side), k), {
        "the whole picture squeezed into a square: crop the middle first.": (
            F.adaptive_avg_pool2d(image, size)
        ),
        "the square lies at the upper left: it begins at half of what is left over.": (
            _blocks(cut(0, 0, side), k)
        ),
        "the square lies at the lower right: half of what is left over.": (
            _blocks(cut(H - side, W - side, side), k)
        ),
        "half of an odd number of pixels is rounded down.": (
            _blocks(cut((H - side + 1) // 2, (W - side + 1) // 2, side), k)
        ),
        "the middle `size` pixels, unscaled: crop min(H, W), then scale.": small,
        "every k-th pixel: average the block, or fine patterns turn into false ones.": (
            cut(y, x, side)[:, ::k, ::k]
        ),
        "the sum of a block: take its mean.": k * k * _blocks(cut(y, x, side), k),
    }


def _padded(image: Tensor, size: int, k: int) -> tuple[Tensor, dict[str, Tensor]]:
    small, every = _blocks(image, k), image.double()[:, ::k, ::k]
    h, w = small.shape[1:]
    middle = ((size - h) // 2, (size - w) // 2)

    def on(grey: float, part: Tensor, place: tuple[int, int]) -> Tensor:
        whole = torch.full((3, size, size), grey, dtype=torch.float64)
        whole[:, place[0] : place[0] + h, place[1] : place[1] + w] = part
        return whole

    side = min(image.shape[1:])
    y, x = ((n - side) // 2 for n in image.shape[1:])
    return on(0.5, small, middle), {
        "the margin is grey, 1/2, not black.": on(0.0, small, middle),
        "the margin is grey, 1/2, not white.": on(1.0, small, middle),
        "half of an odd number of pixels is rounded down.": (
            on(0.5, small, (size - h - middle[0], size - w - middle[1]))
        ),
        "squeezed into a square: one scale for both sides, and a margin.": (
            F.adaptive_avg_pool2d(image.double(), size)
        ),
        "a part is cut off: here the whole picture is kept.": F.adaptive_avg_pool2d(
            image.double()[:, y : y + side, x : x + side], size
        ),
        "every k-th pixel: average the block.": on(0.5, every, middle),
    }


@task(
    "ex11-flipped",
    equation=(
        "x'[c, h, w] = x[c, h, W − 1 − w], left and right exchanged in the caption",
        "x'[c, h, w] = x[c, h, W − 1 − w] where the caption names no side, else x",
    ),
    points=3,
    reference="t2i_course.data.augment:augment",
)
def check_flipped(c: Checking) -> None:
    """Captions with sides, with words that only contain them, and with none."""
    words = c.draw.integers(0, len(ADJECTIVES), len(SENTENCES)).tolist()
    captions = [s.format(ADJECTIVES[k]) for s, k in zip(SENTENCES, words, strict=True)]
    images = c.draw.uniform(len(captions), 3, 4, 5)
    pictures, texts = [], []
    for image, caption in zip(images, captions, strict=True):
        picture, text = _pair(c, c.answer(image, caption), repr(caption))
        c.tensor(picture, (3, 4, 5), repr(caption))
        c.holds(isinstance(text, str), "contract", repr(caption), "a text", f"{text!r}")
        pictures.append(picture)
        texts.append(text)
    whole = torch.stack(pictures)
    if c.variant == 1:
        _exchanged(c, images, captions, texts)
    else:
        likely = "here the caption stays as it is."
        c.equal(texts, captions, "the captions", layer="property", slips={likely: texts})

    def turned(pattern: str, flags: int = 0, dim: int = 3) -> Tensor:
        keep = torch.tensor([bool(re.search(pattern, text, flags)) for text in captions])
        return torch.where(keep[:, None, None, None], images, images.flip(dim))

    sides = SIDES if c.variant == 2 else "none"
    slips = {
        "the picture is not mirrored.": images,
        "upside down: the columns are turned round, not the rows.": turned(sides, dim=2),
        "the colours are turned round: the columns are the last dimension.": turned(sides, dim=1),
        "a caption that says left or right would be false of the mirror image.": turned("none"),
        WHOLE: turned("left|right", re.IGNORECASE),
        "a sentence may begin with Left or Right, too.": turned(r"\b(left|right)\b"),
        "right as well as left.": turned(r"\b[Ll]eft\b"),
    }
    c.close(whole, turned(sides), f"the pictures of {len(captions)} captions", slips=slips)


def _exchanged(c: Checking, images: Tensor, captions: list[str], texts: list[str]) -> None:
    turns = "one word after the other: what has become right is turned back. Exchange both at once."
    again = [c.answer(image, text)[1] for image, text in zip(images, texts, strict=True)]
    c.equal(
        again, captions, "captions mirrored twice", layer="property",
        slips={
            turns: [_by_turns(_by_turns(text)) for text in captions],
            "a capital letter stays one: Left becomes Right.": again,
        },
    )  # fmt: skip
    slips = {
        "the picture is mirrored and its caption is not.": captions,
        WHOLE: [re.sub("[Ll]eft|[Rr]ight", _other, text) for text in captions],
        "a sentence may begin with Left or Right, too.": [
            re.sub(r"\b(left|right)\b", _other, text) for text in captions
        ],
    }
    expected = [re.sub(SIDES, _other, text) for text in captions]
    c.equal(texts, expected, f"{len(captions)} captions", slips=slips)


def _other(found: re.Match[str]) -> str:
    other = {"left": "right", "right": "left"}[found.group().lower()]
    return other.capitalize() if found.group()[0].isupper() else other


def _by_turns(caption: str) -> str:
    there = re.sub(r"\b[Ll]eft\b", _other, caption)
    return re.sub(r"\b[Rr]ight\b", _other, there)


@task(
    "ex11-order",
    equation=(
        "π by seed + epoch, filled up to a multiple of world, and of that each world-th from rank",
        "π by seed + epoch, cut to a multiple of world, and of that each world-th from rank",
    ),
    points=3,
)
def check_order(c: Checking) -> None:
    """All ranks of a world, two epochs: as many each, all images, and torch's own order."""
    world, seed = c.draw.integer(3, 6), c.draw.integer(0, 1000)
    N = world * c.draw.integer(3, 5) + c.draw.integer(1, world)  # never a multiple
    n = N // world if c.variant == 2 else -(-N // world)
    for epoch in (c.draw.integer(1, 5), 0):
        ranks: list[Tensor] = []
        for rank in range(world):
            case = f"N = {N}, seed {seed}, epoch {epoch}, rank {rank} of {world}"
            own = c.answer(N, seed, epoch, rank, world)
            uneven = "every rank needs as many, or one of them waits for ever at the last step."
            c.tensor(own, (n,), case, torch.int64, {(n - 1,): uneven, (n + 1,): uneven})
            ranks.append(own)
        case = f"N = {N}, seed {seed}, epoch {epoch}, {world} ranks"
        again = c.answer(N, seed, epoch, 0, world)
        fresh = "draw from a generator that is made from seed + epoch."
        c.agrees(again, ranks[0], f"{case}: asked twice", fresh)
        seen = {int(i) for own in ranks for i in own}
        c.holds(
            len(seen) == (N if c.variant == 1 else n * world), "property", f"{case}: all together",
            "each image once in an epoch" + (", a few of them twice" if c.variant == 1 else ""),
            f"{len(seen)} different images",
            "all ranks shuffle alike, and each takes other places of the same order.",
        )  # fmt: skip
        for rank, own in enumerate(ranks):
            c.equal(own, _torchs(c, N, seed, epoch, rank, world), f"{case}, rank {rank}",
                    slips=_slips_of_order(c, N, seed, epoch, rank, world))  # fmt: skip


def _torchs(c: Checking, N: int, seed: int, epoch: int, rank: int, world: int) -> Tensor:
    sampler: DistributedSampler = DistributedSampler(
        range(N), world, rank, seed=seed, drop_last=c.variant == 2  # type: ignore[arg-type]
    )  # fmt: skip
    sampler.set_epoch(epoch)
    return torch.tensor(list(sampler))


def _slips_of_order(
    c: Checking, N: int, seed: int, epoch: int, rank: int, world: int
) -> dict[str, Tensor]:
    def drawn(seed: int) -> Tensor:
        return torch.randperm(N, generator=torch.Generator().manual_seed(seed))

    def even(order: Tensor) -> Tensor:
        if c.variant == 2:
            return order[: N - N % world]
        return torch.cat([order, order[: -N % world]])

    order = even(drawn(seed + epoch))
    ends = torch.cat([drawn(seed + epoch), drawn(seed + epoch)[-(-N % world) :]])
    last = drawn(seed + epoch)[N % world :]
    return {
        "the same order in each epoch: seed + epoch.": even(drawn(seed))[rank::world],
        "seed + epoch, not the epoch alone.": even(drawn(epoch))[rank::world],
        "seed + epoch, not their product.": even(drawn(seed * epoch))[rank::world],
        "shuffle: a permutation by seed + epoch.": even(torch.arange(N))[rank::world],
        "each rank takes every world-th, not a stretch of its own.": (order.view(world, -1)[rank]),
        "filled up from the beginning of the order, not from its end.": ends[rank::world],
        "what is left out stands at the end of the order.": last[rank::world],
    }


@task(
    "ex11-embedded",
    equation="v_i = known[caption_i]; what is not known is encoded once, all in one call",
    points=3,
    reference="t2i_course.conditioning.cache:remembered",
)
def check_embedded(c: Checking) -> None:
    """Captions of which some are known and some come twice: vectors, and what was encoded."""
    texts = [f"a {a} {b}" for a in ADJECTIVES for b in ("cat", "dog")]
    table = dict(zip(texts, c.draw.normal(len(texts), 3), strict=True))
    order = torch.randperm(len(texts), generator=c.draw.generator).tolist()
    known = {texts[i]: table[texts[i]] for i in order[:3]}
    some = [texts[i] for i in order[1:8]]
    captions = [*some, some[4], some[0], some[6], some[4]]
    asked: list[list[str]] = []

    def encode(new: Sequence[str]) -> Tensor:
        asked.append(list(new))
        return torch.stack([table[text] for text in new])

    case = f"{len(captions)} captions, {len(set(captions))} different ones, 2 of them known"
    vectors, now = _pair(c, c.answer(captions, known, encode), case)
    c.tensor(
        vectors, (len(captions), 3), case,
        slips={(len(set(captions)), 3): "a row for each caption asked, also where it comes again."},
    )  # fmt: skip
    encoded = [text for call in asked for text in call]
    c.holds(
        not any(text in known for text in encoded), "property", f"{case}: what was encoded",
        "none that is known", f"{encoded}", "look into `known` first.",
    )  # fmt: skip
    c.holds(
        len(set(encoded)) == len(encoded), "property", f"{case}: what was encoded",
        "each text once", f"{encoded}", "a caption that comes twice is encoded once.",
    )  # fmt: skip
    c.holds(
        len(asked) == 1, "property", f"{case}: calls of the encoder", "one, with all new texts",
        f"{len(asked)}", "gather the new texts first: an encoder is quick on many at once.",
    )  # fmt: skip
    new = [text for text in dict.fromkeys(captions) if text not in known]
    c.equal(
        encoded, new, f"{case}: what was encoded", layer="property",
        slips={
            "in the order in which they come: a set has none, so that runs would differ.": (
                encoded if sorted(encoded) == sorted(new) else None
            )
        },
    )  # fmt: skip
    rows = torch.stack([table[text] for text in captions])
    c.close(vectors, rows, case, slips={"row i belongs to caption i: look each one up.": vectors})
    c.equal(
        now, known | {text: table[text] for text in new}, f"{case}: what is known afterwards",
        slips={
            "what was new is known from now on: it belongs there, too.": known,
            "what was known before is known still.": {text: table[text] for text in new},
            "a caption that was not asked for stays known.": {t: table[t] for t in set(captions)},
        },
    )  # fmt: skip
    asked.clear()
    again = c.answer(captions, table, encode)
    c.holds(
        not asked, "property", "captions that are all known", "no call of the encoder",
        f"{len(asked)} call(s)", "do not call the encoder for nothing.",
    )  # fmt: skip
    c.close(again[0], rows, "captions that are all known")
