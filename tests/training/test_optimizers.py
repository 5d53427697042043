"""Which optimizer moves which weight, how far, and that its state survives being packed."""

import pytest
import torch
from torch import nn

from t2i_course.contract import T2IError
from t2i_course.training.optimizers import Optimizer
from t2i_course.training.settings import OptimizerSettings


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 64), nn.Tanh(), nn.Linear(64, 3))


def walk(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(16, 40, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step(step, step / 10)


def test_muon_moves_matrices_by_an_orthogonal_step_of_adamws_size():
    """Oracle: a step from scratch has singular values that are all alike, 0.2 √max(A, B) lr."""
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    walk(
        model, Optimizer(list(model.parameters()), OptimizerSettings(lr=1e-3, muon=0.01)), range(1)
    )
    first, bias, last, _ = (a - b for a, b in zip(before, model.parameters(), strict=True))
    # Only min(16 rows of the batch, …) directions have a gradient; Newton and Schulz's three
    # iterations bring their singular values near 1, not to it.
    values = torch.linalg.svdvals(first.detach()) / (0.2 * 64**0.5 * 0.01)
    assert values[:16].min() > 0.3 and values.max() < 1.5
    for moved in (bias, last):  # Adam's first step is lr in every number that has a gradient
        assert moved.detach().abs().max().item() == pytest.approx(1e-3, rel=1e-3)


def test_without_muon_it_is_torchs_adamw():
    ours, theirs = network(), network()
    own = OptimizerSettings(lr=1e-2, betas=(0.8, 0.9), weight_decay=0.1)
    reference = torch.optim.AdamW(theirs.parameters(), 1e-2, (0.8, 0.9), weight_decay=0.1)
    optimizer = Optimizer(list(ours.parameters()), own)
    for step in range(5):
        walk(ours, optimizer, range(step, step + 1))
        x = torch.randn(16, 40, generator=torch.Generator().manual_seed(step))
        reference.zero_grad()
        theirs(x).square().sum().backward()
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("muon", [None, 0.01])
def test_its_state_survives_being_packed(muon):
    own = OptimizerSettings(muon=muon, schedule="cosine")
    whole, cut = network(), network()
    optimizer = Optimizer(list(whole.parameters()), own)
    walk(whole, optimizer, range(6))
    first = Optimizer(list(cut.parameters()), own)
    walk(cut, first, range(3))
    second = Optimizer(list(cut.parameters()), own)
    second.unpack({key: value.clone() for key, value in first.pack().items()})
    walk(cut, second, range(3, 6))
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_saved_state_lies_in_memory_as_its_parameter_does():
    """A checkpoint keeps no memory layout, and torch's fused AdamW walks weights and state as they
    lie. Oracle: the optimizer that was never packed."""

    def fresh() -> tuple[nn.Module, Optimizer]:
        torch.manual_seed(0)
        model = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
        return model, Optimizer(list(model.parameters()), OptimizerSettings())

    def walk_on(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        for step in steps:
            x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step(step, step / 10)

    (whole, unbroken), (model, before) = fresh(), fresh()
    walk_on(whole, unbroken, range(6))
    walk_on(model, before, range(3))
    after = Optimizer(list(model.parameters()), OptimizerSettings())
    after.unpack({key: value.contiguous() for key, value in before.pack().items()})
    walk_on(model, after, range(3, 6))
    for one, other in zip(whole.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(T2IError, match="muon must be above 0"):
        OptimizerSettings(muon=0.0)
