"""The trained reader: what it is to say, how that is read, and the one that ships."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course import alignment, runs
from t2i_course.contract import Condition, RowGenerator, T2IError
from t2i_course.data.scenes import COLOUR_NAMES, encode, same
from t2i_course.data.shapes import KINDS, SPLITS, Scene, Thing, draw, scene
from t2i_course.models.scene_reader import SceneReader, SceneReaderSettings, targets
from t2i_course.training import checkpoints


def knowing(scenes: list[Scene], sure: float = 0.999) -> SceneReader:
    """A reader whose network says of any images exactly what it is to say of `scenes`."""
    want = targets(encode(scenes))
    heat = want.heat.clamp(1e-6, 1 - 1e-6).logit()[:, :, None]
    kind = 30 * F.one_hot(want.kind, len(KINDS)).movedim(-1, 2).float()
    colour = 30 * F.one_hot(want.colour, len(COLOUR_NAMES)).movedim(-1, 2).float()
    reader = SceneReader(SceneReaderSettings(widths=(4, 4), blocks=1, sure=sure, damaged=0.0))
    calm = torch.full((len(scenes),), -20.0)
    reader.forward = lambda images: (heat, kind, colour, want.offset, want.extent[:, :, None], calm)
    return reader


def pictures(scenes: list[Scene], side: int = 32) -> torch.Tensor:
    return torch.stack([torch.from_numpy(draw(one, side)) for one in scenes]) / 255


@given(st.integers(0, 10**9), st.sampled_from(SPLITS))
@settings(max_examples=100, deadline=None)
def test_what_the_network_is_to_say_of_a_scene_is_read_as_that_scene(index, split):
    """Oracle: the scene, to the unit; things inside others and between cells are among these."""
    one = scene(index, split=split)
    (found,) = knowing([one]).read(torch.zeros(1, 3, 32, 32))
    assert same(found, one, within=0)
    assert sorted(t.extent for t in found.things) == sorted(t.extent for t in one.things)


@pytest.mark.parametrize("x", [63, 64, 65, 80])
def test_a_centre_on_the_line_between_cells_is_one_thing(x):
    one = Scene((Thing("star", "green", x, 64, 30),))
    assert knowing([one]).read(torch.zeros(1, 3, 32, 32)) == [one]


def test_a_thing_inside_another_comes_after_it():
    one = next(o for o in map(scene, range(400)) if o.things[0].extent > 60)
    inner, outer = one.things[::-1]
    (found,) = knowing([Scene((inner, outer))]).read(torch.zeros(1, 3, 32, 32))
    assert found == one


def test_damaged_pictures_count_only_as_such():
    """Oracle: a network that knows the scenes and says that every picture is damaged is right."""
    some = [scene(i) for i in range(8)]
    reader = knowing(some)
    reader.settings = SceneReaderSettings(damaged=1.0)
    *said, calm = reader(None)
    reader.forward = lambda images: (*(part + 3 for part in said), -calm)
    condition = Condition.of(encode(some))
    loss, parts = reader.loss("reader", pictures(some), condition, RowGenerator(0, rows=8))
    assert loss == sum(parts.values()) < 1e-6


def test_the_loss_is_nothing_for_a_network_that_knows_and_grows_with_each_error():
    some = [scene(i) for i in range(8)]
    reader, images = knowing(some), pictures(some)
    said = reader(images)

    def loss():
        return reader.loss(
            "reader", images, Condition.of(encode(some)), RowGenerator(0, rows=8)
        )[0]  # fmt: skip

    assert loss() < 0.01
    for part, worse in enumerate(
        (
            said[0] + 1,
            said[1].roll(1, 2),
            said[2].roll(1, 2),
            said[3] + 0.1,
            said[4] + 0.1,
            -said[5],
        )
    ):
        reader.forward = lambda _, w=worse, p=part: (*said[:p], w, *said[p + 1 :])
        assert loss() > 0.1


def test_it_does_not_answer_if_a_kind_is_unsure_or_something_strange_or_nothing_is_there():
    one = scene(1)
    reader = knowing([one], sure=0.6)
    heat, kind, *others, calm = reader(None)
    for sure, loud in ((True, calm), (False, calm + 25)):
        reader.forward = lambda images, loud=loud: (heat, kind, *others, loud)
        assert (reader.read(torch.zeros(1, 3, 32, 32)) == [one]) == sure
    reader.forward = lambda images: (heat, kind / 100, *others, calm)
    assert reader.read(torch.zeros(1, 3, 32, 32)) == [None]
    reader.forward = lambda images: (heat - 10, kind, *others, calm)
    assert reader.read(torch.zeros(1, 3, 32, 32)) == [None]


def test_a_picture_of_64_is_read_as_its_average_of_32_and_others_are_refused():
    reader, images = SceneReader(), pictures([scene(i) for i in range(3)], 64)
    for a, b in zip(reader(images), reader(F.avg_pool2d(images, 2)), strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(T2IError, match="S 32 or 64, not"):
        reader.read(torch.zeros(1, 3, 48, 48))
    with pytest.raises(T2IError, match="sure must be from 0 to 1"):
        SceneReaderSettings(sure=2.0)


def test_the_reader_that_ships_is_small_and_as_good_as_its_card_says():
    folder = runs.find("reader-shapes")
    assert (folder / "weights.safetensors").stat().st_size < 1_200_000
    card = checkpoints.read_json(folder, "card.json")
    for split in SPLITS:
        assert card["scores"][f"{split}_wholly_right"] >= 0.998
        for side in (32, 64):
            score = alignment.wholly_right(alignment.trained_reader(), split, 250, side, seed=5)
            assert score.value >= 0.99 and score.samples == 250


def test_the_reader_that_ships_does_not_answer_for_empty_and_senseless_pictures():
    empty = torch.full((1, 3, 32, 32), 0.94)
    noise = RowGenerator(3, rows=16).uniform(3, 32, 32)
    assert alignment.trained_reader().read(torch.cat([empty, noise])) == [None] * 17
