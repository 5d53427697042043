"""Known answers to exercise 11."""

import re

import torch
import torch.nn.functional as F
from known_answers import equivalent, right, wrong

# --- item


def _picture(images, i):
    return images[i].permute(2, 0, 1).float() / 255


@right("ex11-item")
def colour_by_colour(images, captions, i, epoch, number):
    picture = torch.stack([images[i, :, :, colour].double() / 255 for colour in range(3)])
    own = captions[i]
    return picture, own[number(epoch, i) % len(own)]


@wrong("ex11-item", says="divide by 255")
def not_divided(images, captions, i, epoch, number):
    return images[i].permute(2, 0, 1).float(), captions[i][number(epoch, i) % len(captions[i])]


@wrong("ex11-item", says="channels first")
def channels_last(images, captions, i, epoch, number):
    return images[i].float() / 255, captions[i][number(epoch, i) % len(captions[i])]


@wrong("ex11-item", says="do not transpose")
def transposed(images, captions, i, epoch, number):
    return images[i].permute(2, 1, 0).float() / 255, captions[i][
        number(epoch, i) % len(captions[i])
    ]


@wrong("ex11-item", says="do not reshape", layer="oracle")
def reshaped(images, captions, i, epoch, number):
    _, H, W, _ = images.shape
    picture = images[i].reshape(3, H, W).float() / 255
    return picture, captions[i][number(epoch, i) % len(captions[i])]


@wrong("ex11-item", says="not by 256", layer="oracle")
def divided_by_256(images, captions, i, epoch, number):
    picture = images[i].permute(2, 0, 1).float() / 256
    return picture, captions[i][number(epoch, i) % len(captions[i])]


@wrong("ex11-item", says="always the first", layer="oracle")
def first_caption(images, captions, i, epoch, number):
    return _picture(images, i), captions[i][0]


@wrong("ex11-item", says="epoch comes first", layer="oracle")
def arguments_exchanged(images, captions, i, epoch, number):
    return _picture(images, i), captions[i][number(i, epoch) % len(captions[i])]


@wrong("ex11-item", says="in every epoch", layer="oracle")
def same_in_every_epoch(images, captions, i, epoch, number):
    return _picture(images, i), captions[i][number(0, i) % len(captions[i])]


@wrong("ex11-item", says="IndexError")
def always_five_captions(images, captions, i, epoch, number):
    return _picture(images, i), captions[i][number(epoch, i) % 5]


# --- centre_square


def _square(image, side, top, left):
    return image[:, top : top + side, left : left + side]


@right("ex11-centre_square")
def by_reshaping(image, size):
    _, H, W = image.shape
    side = min(H, W)
    square = image[:, (H - side) // 2 :, (W - side) // 2 :][:, :side, :side]
    k = side // size
    return square.reshape(3, size, k, size, k).mean((2, 4))


@wrong("ex11-centre_square", says="squeezed")
def squeezed(image, size):
    return F.adaptive_avg_pool2d(image, size)


@wrong("ex11-centre_square", says="upper left")
def upper_left(image, size):
    side = min(image.shape[1:])
    return F.adaptive_avg_pool2d(_square(image, side, 0, 0), size)


@wrong("ex11-centre_square", says="rounded down")
def rounded_up(image, size):
    _, H, W = image.shape
    side = min(H, W)
    square = _square(image, side, (H - side + 1) // 2, (W - side + 1) // 2)
    return F.adaptive_avg_pool2d(square, size)


@wrong("ex11-centre_square", says="every k-th pixel", layer="oracle")
def every_kth_pixel(image, size):
    _, H, W = image.shape
    side = min(H, W)
    k = side // size
    return _square(image, side, (H - side) // 2, (W - side) // 2)[:, ::k, ::k]


@wrong("ex11-centre_square", says="then scale", layer="oracle")
def unscaled(image, size):
    _, H, W = image.shape
    return _square(image, size, (H - size) // 2, (W - size) // 2)


@right("ex11-centre_square", variant=2)
def by_padding(image, size):
    _, H, W = image.shape
    k = max(H, W) // size
    small = image.reshape(3, H // k, k, W // k, k).mean((2, 4))
    y, x = size - H // k, size - W // k
    return F.pad(small, (x // 2, x - x // 2, y // 2, y - y // 2), value=0.5)


@wrong("ex11-centre_square", says="not black", variant=2)
def on_black(image, size):
    return by_padding(image + 0.5, size) - 0.5


@wrong("ex11-centre_square", says="a margin", variant=2)
def squeezed_whole(image, size):
    return F.adaptive_avg_pool2d(image, size)


@wrong("ex11-centre_square", says="cut off", variant=2)
def cropped(image, size):
    _, H, W = image.shape
    side = min(H, W)
    return F.adaptive_avg_pool2d(_square(image, side, (H - side) // 2, (W - side) // 2), size)


@wrong("ex11-centre_square", says="rounded down", variant=2)
def rest_above(image, size):
    return by_padding(image.flip(1, 2), size).flip(1, 2)


@wrong("ex11-centre_square", says="every k-th pixel", layer="oracle", variant=2)
def every_kth_pixel_padded(image, size):
    k = max(image.shape[1:]) // size
    return by_padding(image[:, ::k, ::k].repeat_interleave(k, 1).repeat_interleave(k, 2), size)


# --- flipped


def _other(word):
    small = {"left": "right", "right": "left"}[word.lower()]
    return small.capitalize() if word[0] in "LR" else small


@right("ex11-flipped")
def word_by_word(image, caption):
    parts = re.split(r"(\W+)", caption)
    parts = [_other(p) if p.lower() in ("left", "right") else p for p in parts]
    return torch.stack([column for column in image.unbind(2)][::-1], 2), "".join(parts)


@right("ex11-flipped")
def by_way_of_a_third_word(image, caption):
    for a, b in (("left", "right"), ("Left", "Right")):
        caption = re.sub(rf"\b{a}\b", "\0", caption)
        caption = re.sub(rf"\b{b}\b", a, caption).replace("\0", b)
    return image[:, :, torch.arange(image.shape[2] - 1, -1, -1)], caption


@wrong("ex11-flipped", says="its caption is not", layer="oracle")
def caption_left_alone(image, caption):
    return image.flip(2), caption


@wrong("ex11-flipped", says="both at once")
def one_after_the_other(image, caption):
    for a in ("left", "Left", "right", "Right"):
        caption = re.sub(rf"\b{a}\b", _other(a), caption)
    return image.flip(2), caption


@wrong("ex11-flipped", says="whole words", layer="oracle")
def parts_of_words(image, caption):
    return image.flip(2), re.sub("[Ll]eft|[Rr]ight", lambda m: _other(m.group()), caption)


@wrong("ex11-flipped", says="may begin with", layer="oracle")
def small_letters_only(image, caption):
    return image.flip(2), re.sub(r"\b(left|right)\b", lambda m: _other(m.group()), caption)


@wrong("ex11-flipped", says="capital letter stays")
def capitals_lost(image, caption):
    pattern = r"\b([Ll]eft|[Rr]ight)\b"
    return image.flip(2), re.sub(pattern, lambda m: _other(m.group().lower()), caption)


@wrong("ex11-flipped", says="upside down", layer="oracle")
def upside_down(image, caption):
    return image.flip(1), by_way_of_a_third_word(image, caption)[1]


@wrong("ex11-flipped", says="not mirrored", layer="oracle")
def caption_only(image, caption):
    return image, by_way_of_a_third_word(image, caption)[1]


@right("ex11-flipped", variant=2)
def by_a_set_of_words(image, caption):
    sides = {"left", "right"} & set(re.findall(r"[a-z]+", caption.lower()))
    return (image if sides else image[..., range(image.shape[-1] - 1, -1, -1)]), caption


@wrong("ex11-flipped", says="false of the mirror image", layer="oracle", variant=2)
def mirrors_all(image, caption):
    return image.flip(2), caption


@wrong("ex11-flipped", says="whole words", layer="oracle", variant=2)
def finds_parts_of_words(image, caption):
    found = "left" in caption.lower() or "right" in caption.lower()
    return (image if found else image.flip(2)), caption


@wrong("ex11-flipped", says="may begin with", layer="oracle", variant=2)
def small_sides_only(image, caption):
    return (image if re.search(r"\b(left|right)\b", caption) else image.flip(2)), caption


@wrong("ex11-flipped", says="caption stays", variant=2)
def caption_exchanged(image, caption):
    return by_way_of_a_third_word(image, caption)


@wrong("ex11-flipped", says="columns are turned round", layer="oracle", variant=2)
def rows_turned(image, caption):
    sides = {"left", "right"} & set(re.findall(r"[a-z]+", caption.lower()))
    return (image if sides else image.flip(1)), caption


# --- order


def _permutation(N, seed):
    return torch.randperm(N, generator=torch.Generator().manual_seed(seed))


@right("ex11-order")
def by_repeating(N, seed, epoch, rank, world):
    steps = (N + world - 1) // world
    return _permutation(N, seed + epoch).repeat(2)[: steps * world].view(steps, world)[:, rank]


@wrong("ex11-order", says="waits for ever")
def not_filled_up(N, seed, epoch, rank, world):
    return _permutation(N, seed + epoch)[rank::world]


@wrong("ex11-order", says="shuffle alike")
def each_rank_its_own_shuffle(N, seed, epoch, rank, world):
    permutation = _permutation(N, seed + epoch + rank)
    return torch.cat([permutation, permutation[: -N % world]])[rank::world]


@wrong("ex11-order", says="generator that is made from")
def from_the_global_generator(N, seed, epoch, rank, world):
    permutation = torch.randperm(N)
    return torch.cat([permutation, permutation[: -N % world]])[rank::world]


@wrong("ex11-order", says="same order in each epoch", layer="oracle")
def epoch_forgotten(N, seed, epoch, rank, world):
    permutation = _permutation(N, seed)
    return torch.cat([permutation, permutation[: -N % world]])[rank::world]


@wrong("ex11-order", says="a stretch of its own", layer="oracle")
def in_stretches(N, seed, epoch, rank, world):
    permutation = _permutation(N, seed + epoch)
    return torch.cat([permutation, permutation[: -N % world]]).view(world, -1)[rank]


@wrong("ex11-order", says="not from its end", layer="oracle")
def filled_up_from_the_end(N, seed, epoch, rank, world):
    permutation = _permutation(N, seed + epoch)
    return torch.cat([permutation, permutation[N - -N % world :]])[rank::world]


@wrong("ex11-order", says="shuffle: a permutation", layer="oracle")
def not_shuffled(N, seed, epoch, rank, world):
    permutation = torch.arange(N)
    return torch.cat([permutation, permutation[: -N % world]])[rank::world]


@right("ex11-order", variant=2)
def by_rows(N, seed, epoch, rank, world):
    steps = N // world
    return _permutation(N, seed + epoch)[: steps * world].view(steps, world)[:, rank]


@wrong("ex11-order", says="waits for ever", variant=2)
def end_kept(N, seed, epoch, rank, world):
    return _permutation(N, seed + epoch)[rank::world]


@wrong("ex11-order", says="end of the order", layer="oracle", variant=2)
def beginning_left_out(N, seed, epoch, rank, world):
    return _permutation(N, seed + epoch)[N % world :][rank::world]


@wrong("ex11-order", says="same order in each epoch", layer="oracle", variant=2)
def seed_alone(N, seed, epoch, rank, world):
    return _permutation(N, seed)[: N - N % world][rank::world]


@wrong("ex11-order", says="a stretch of its own", layer="oracle", variant=2)
def stretches(N, seed, epoch, rank, world):
    return _permutation(N, seed + epoch)[: N - N % world].view(world, -1)[rank]


@wrong("ex11-order", says="shuffle alike", variant=2)
def shuffled_by_rank(N, seed, epoch, rank, world):
    return _permutation(N, seed + epoch + rank)[: N - N % world][rank::world]


# --- embedded

for line in (
    "known = known | dict(zip(new, encode(new)))",
    "known = known | dict(zip(new, encode(new), strict=False))",
):
    equivalent("ex11-embedded", line, because="`strict` would find an encoder's fault only")


@right("ex11-embedded")
def step_by_step(captions, known, encode):
    now, new = dict(known), []
    for text in captions:
        if text not in now and text not in new:
            new.append(text)
    if len(new) > 0:
        vectors = encode(new)
        for k, text in enumerate(new):
            now[text] = vectors[k]
    return torch.stack([now[text] for text in captions]), now


@wrong("ex11-embedded", says="look into `known` first")
def everything_encoded(captions, known, encode):
    vectors = encode(captions)
    return vectors, known | dict(zip(captions, vectors, strict=True))


@wrong("ex11-embedded", says="encoded once")
def twice_is_encoded_twice(captions, known, encode):
    new = [text for text in captions if text not in known]
    now = known | dict(zip(new, encode(new), strict=True))
    return torch.stack([now[text] for text in captions]), now


@wrong("ex11-embedded", says="gather the new texts")
def one_call_for_each(captions, known, encode):
    now = dict(known)
    for text in captions:
        if text not in now:
            now[text] = encode([text])[0]
    return torch.stack([now[text] for text in captions]), now


@wrong("ex11-embedded", says="a set has none")
def in_another_order(captions, known, encode):
    new = sorted({text for text in captions if text not in known})[::-1]
    new = new if new != list(dict.fromkeys(t for t in captions if t in new)) else new[::-1]
    now = known | dict(zip(new, encode(new), strict=True))
    return torch.stack([now[text] for text in captions]), now


@wrong("ex11-embedded", says="changed in place")
def known_is_changed(captions, known, encode):
    new = [text for text in dict.fromkeys(captions) if text not in known]
    known.update(zip(new, encode(new), strict=True))
    return torch.stack([known[text] for text in captions]), known


@wrong("ex11-embedded", says="known from now on", layer="oracle")
def forgets_what_is_new(captions, known, encode):
    return step_by_step(captions, known, encode)[0], known


@wrong("ex11-embedded", says="stays known", layer="oracle")
def keeps_what_was_asked_only(captions, known, encode):
    vectors, now = step_by_step(captions, known, encode)
    return vectors, {text: now[text] for text in captions}


@wrong("ex11-embedded", says="a row for each caption")
def a_row_for_each_different_one(captions, known, encode):
    _, now = step_by_step(captions, known, encode)
    return torch.stack([now[text] for text in dict.fromkeys(captions)]), now


@wrong("ex11-embedded", says="for nothing")
def empty_call(captions, known, encode):
    new = [text for text in dict.fromkeys(captions) if text not in known]
    vectors = encode(new) if new else (encode(captions[:1]), [])[1]
    now = known | dict(zip(new, vectors, strict=True))
    return torch.stack([now[text] for text in captions]), now
