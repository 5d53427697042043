"""The contract: conditions, settings and random numbers that depend on the row alone."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t2i_course.contract import Condition, Features, RowGenerator, Settings, T2IError, seeded_init


@given(
    seed=st.integers(0, 2**40),
    total=st.integers(1, 150),
    cut=st.integers(1, 150),
    method=st.sampled_from(["normal", "uniform", "integers"]),
)
def test_a_rows_numbers_do_not_depend_on_how_the_batch_is_cut(seed, total, cut, method):
    """Oracle: the batch drawn whole."""

    def draw(rows):
        generator = RowGenerator(seed, "step", rows=rows)
        extra = (0, 1000) if method == "integers" else ()
        first = getattr(generator, method)(*extra, 3)
        return torch.cat([first, getattr(generator, method)(*extra, 3)], dim=1)

    parts = [draw(range(i, min(i + cut, total))) for i in range(0, total, cut)]
    assert torch.equal(torch.cat(parts), draw(total))


def test_different_keys_and_repeated_calls_give_different_numbers():
    draws = [RowGenerator(seed, step, rows=40).normal(2) for seed in (0, 1) for step in (0, 1)]
    same = RowGenerator(0, 0, rows=40)
    draws += [same.normal(2), same.normal(2)]
    assert torch.equal(draws[0], draws[4])
    distinct = draws[:4] + draws[5:]
    for i, a in enumerate(distinct):
        assert all(not torch.equal(a, b) for b in distinct[:i])


def test_normal_numbers_are_standard_normal():
    x = RowGenerator(3, rows=4000).normal(50).double()
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
    assert abs(torch.corrcoef(x[:, :2].T)[0, 1]) < 0.06  # columns are independent
    assert abs(torch.corrcoef(torch.stack([x[:-1, 0], x[1:, 0]]))[0, 1]) < 0.06  # and rows


def test_nothing_is_drawn_from_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    RowGenerator(1, rows=10).normal(4)
    with seeded_init(0):
        torch.nn.Linear(3, 3)
    assert torch.equal(before, torch.get_rng_state())


def test_condition_rows_are_selected_repeated_and_dropped_together():
    condition = Condition(
        present=torch.tensor([True, True, False]),
        vector=torch.arange(6.0).view(3, 2),
        tokens=torch.arange(24.0).view(3, 4, 2),
        mask=torch.ones(3, 4, dtype=torch.bool),
    )
    picked = condition[torch.tensor([2, 0])].repeat(2)
    assert picked.vector.tolist() == [[4, 5], [4, 5], [0, 1], [0, 1]]
    assert picked.present.tolist() == [False, False, True, True]
    assert torch.equal(picked.tokens[2], condition.tokens[0])
    dropped = condition.drop(torch.tensor([True, False, False]))
    assert dropped.present.tolist() == [False, True, False]
    assert len(Condition.none(4)) == 4 and not Condition.none(4).present.any()


@pytest.mark.parametrize(
    "parts",
    [
        {"vector": torch.zeros(2, 3)},
        {"vector": torch.zeros(3)},
        {"tokens": torch.zeros(3, 2, 2)},
    ],
)
def test_a_condition_whose_parts_disagree_is_an_error(parts):
    with pytest.raises(T2IError, match="Condition"):
        Condition(present=torch.ones(3, dtype=torch.bool), **parts)


@dataclasses.dataclass(frozen=True)
class _Inner(Settings):
    size: tuple[int, int] = (1, 2)


@dataclasses.dataclass(frozen=True)
class _Outer(Settings):
    steps: int
    inner: _Inner = dataclasses.field(default_factory=_Inner)
    by_name: dict[str, _Inner] = dataclasses.field(default_factory=dict)


def test_settings_survive_json_and_refuse_unknown_fields():
    import json

    settings = _Outer(3, _Inner((4, 5)), {"a": _Inner((6, 7))})
    assert _Outer.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(T2IError, match="Did you mean 'steps'"):
        _Outer.from_dict({"step": 3})
    with pytest.raises(T2IError, match="steps"):
        _Outer.from_dict({})


def test_features_of_another_shape_than_promised_are_an_error():
    features = Features("two", "0" * 64, 2, lambda images: images.flatten(1)[:, :3])
    with pytest.raises(T2IError, match=r"promised \[5, 2\] and gave \[5, 3\]"):
        features(torch.zeros(5, 1, 2, 2))
