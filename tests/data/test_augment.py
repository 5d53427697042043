"""Pictures varied in training: what changes, what must not, and who decides."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.contract import RowGenerator, T2IError
from t2i_course.data.augment import Augmentation, augment, parse, says_a_side
from t2i_course.data.drawn import shapes

WITHOUT, WITH = "A dog runs.", "A dog on the left."


def slopes(n: int, side: int = 16) -> torch.Tensor:
    """Red grows to the right from 0 to 1, green downwards."""
    line = torch.linspace(0, 1, side)
    both = torch.stack([line.expand(side, side), line[:, None].expand(side, side)])
    return torch.cat([both, torch.full((1, side, side), 0.5)]).repeat(n, 1, 1, 1)


def test_a_picture_is_mirrored_unless_its_caption_says_left_or_right():
    """Oracle: torch.flip."""
    images = slopes(4)
    captions = [WITHOUT, WITH, "Turning RIGHT, a bus.", "A bright light, the dog has left-overs"]
    varied = augment(images, captions, Augmentation(flip=1), RowGenerator(rows=4))
    assert torch.equal(varied[0], images[0].flip(-1))
    assert torch.equal(varied[1:], images[1:])
    assert says_a_side("to the leftmost") and not says_a_side("a bright aleft upright")


@settings(deadline=None, max_examples=20)  # the first imports torchvision
@given(first=st.integers(0, 39), seed=st.integers(0, 5))
def test_what_is_drawn_depends_on_the_row_and_not_on_the_batch(first, seed):
    how, images = Augmentation(0.5, 0.5, 0.3), slopes(40, 8)
    whole = augment(images, [WITHOUT] * 40, how, RowGenerator(seed, "data", rows=40))
    rows = range(first, 40)
    part = augment(
        images[first:], [WITHOUT] * len(rows), how, RowGenerator(seed, "data", rows=rows)
    )
    torch.testing.assert_close(part, whole[first:], rtol=0, atol=0)


def test_one_part_does_not_move_what_another_draws():
    images, how = slopes(32), Augmentation(flip=0.5)
    mirrored = [
        augment(images, [WITHOUT] * 32, each, RowGenerator(rows=32))[:, 0, :, -1].mean(1) < 0.5
        for each in (how, replace(how, crop=0.6), replace(how, jitter=0.1))
    ]
    assert 8 < mirrored[0].sum() < 24
    assert torch.equal(mirrored[0], mirrored[1]) and torch.equal(mirrored[0], mirrored[2])


def test_a_crop_shows_at_least_its_share_of_the_picture_and_all_parts_of_it_in_turn():
    """Oracle: on a slope the span that is shown is the crop's side; a smaller crop magnifies."""
    varied = augment(
        slopes(400, 32), [WITHOUT] * 400, Augmentation(crop=0.25), RowGenerator(rows=400)
    )
    spans = varied[:, 0, 16].amax(1) - varied[:, 0, 16].amin(1)
    assert 0.45 < spans.min() < 0.6 and spans.max() > 0.95
    across = varied[:, 0, 16].mean(1)
    assert across.min() < 0.3 and across.max() > 0.7  # from side to side
    down = varied[:, 1, :, 16].mean(1)
    assert down.min() < 0.3 and down.max() > 0.7
    assert abs(torch.corrcoef(torch.stack([across, down]))[0, 1]) < 0.2


def test_jitter_multiplies_brightness_within_its_range():
    """Oracle: on one grey, contrast, saturation and hue change nothing."""
    grey = torch.full((300, 3, 4, 4), 0.5)
    varied = augment(grey, [WITHOUT] * 300, Augmentation(jitter=0.2), RowGenerator(rows=300))
    factors = varied[:, 0, 0, 0] / 0.5
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2 + 1e-6
    colours = slopes(60)
    varied = augment(colours, [WITHOUT] * 60, Augmentation(jitter=0.9), RowGenerator(rows=60))
    assert varied.min() >= 0 and varied.max() <= 1
    assert (varied - colours).abs().mean(dim=(1, 2, 3)).min() > 0.005


def test_captions_and_pictures_that_are_not_varied_stay_as_they_were():
    data = shapes("train", 40)
    index, captions = torch.arange(40), []
    seen = {}
    for name, how in (("plain", None), ("nothing", Augmentation()), ("all", parse("flip,crop"))):
        varied = replace(data, augmentation=how)
        object.__setattr__(varied, "condition", lambda said, _: captions.append(said))
        seen[name], _ = varied.batch(index, RowGenerator(3, rows=40))
    assert captions[0] == captions[1] == captions[2]
    assert torch.equal(seen["plain"], seen["nothing"])
    assert not torch.equal(seen["plain"], seen["all"])
    assert "augmentation" not in data.card()
    assert varied.card()["augmentation"] == {"flip": 0.5, "crop": 0.7, "jitter": 0.0}


def test_the_command_lines_words_are_read_or_refused():
    assert parse("none") is None
    assert parse("flip, crop=0.9") == Augmentation(flip=0.5, crop=0.9)
    for text, message in (
        ("flipp", "Did you mean 'flip'"), ("flip=x", "not 'flip=x'"), ("crop=0", "in \\(0, 1\\]"),
        ("flip=2", "probability"), ("jitter=1", "jitter must be"), ("", "none"),
    ):  # fmt: skip
        with pytest.raises(T2IError, match=message):
            parse(text)
