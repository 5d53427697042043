"""Training by the clock: what is counted, what it drives, how it ends and goes on."""

import json
import signal
import time

import pytest
import torch
from click.testing import CliRunner
from toys import ToyGAN, tiny_images

from t2i_course import recipes
from t2i_course.cli import cli
from t2i_course.contract import T2IError
from t2i_course.training import checkpoints, checks, clock, engine
from t2i_course.training.engine import train
from t2i_course.training.settings import OptimizerSettings, TrainSettings


class Hand:
    """A clock that stands still unless a test moves it."""

    seconds = 0.0


@pytest.fixture
def hand(monkeypatch):
    hand = Hand()
    monkeypatch.setattr(clock, "now", lambda _: hand.seconds)
    return hand


def settings(**changes) -> TrainSettings:
    falls = OptimizerSettings(lr=0.01, warmup=2, schedule="cosine")
    values = {"batch_size": 8, "precision": "fp32", "log_every": 2, "ema": 0.9, "minutes": 0.1,
              "optimizers": {"generator": falls, "discriminator": falls}}  # fmt: skip
    return TrainSettings(**{**values, **changes})


def gan(hand: Hand, seconds: float = 1.0, signal_at: int | None = None) -> ToyGAN:
    """A family whose step takes so many seconds; at the end of one step it may get a Ctrl-C."""

    class Timed(ToyGAN):
        done = 0

        def loss(self, name, images, condition, generator):
            if name == "generator":  # the second of the step
                hand.seconds += seconds
                self.done += 1
                if self.done == signal_at:
                    signal.raise_signal(signal.SIGINT)
            return super().loss(name, images, condition, generator)

    return Timed()


def saved(folder) -> dict[str, torch.Tensor]:
    found = checkpoints.find(folder)
    names = ("weights", "ema", "optimizer")
    return {f"{n}/{key}": v for n in names for key, v in checkpoints.read_tensors(found, n).items()}


def same(a, b) -> bool:
    a, b = saved(a), saved(b)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_six_seconds_of_one_second_steps_are_a_run_of_six_steps_bit_for_bit(tmp_path, hand):
    """So the time drives the schedule as the steps do, and the last step is logged and saved."""
    by_clock = train(gan(hand), tiny_images(), settings(), tmp_path / "a", progress=False)
    by_step = settings(minutes=None, steps=6)
    train(gan(hand), tiny_images(), by_step, tmp_path / "b", progress=False)
    assert by_clock.finished and by_clock.log["step"] == [2, 4, 6]
    assert same(tmp_path / "a", tmp_path / "b")


def test_the_cosine_falls_with_the_time_and_not_with_the_steps(hand, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    # Steps of 0, 0.5, 1, … seconds: the time that was spent before them is 0, 0, 0.5, 1.5, 3, 5.
    family = gan(hand, 0)
    batch = tiny_images().batch

    class Slower(type(tiny_images())):
        def batch(self, index, generator):
            hand.seconds += 0.5 * family.done
            return batch(index, generator)

    run = train(family, Slower(**vars(tiny_images())), settings(), progress=False)
    own = settings().optimizers["generator"]
    shares = [0, 0, 0.5 / 6, 1.5 / 6, 3 / 6, 5 / 6]
    assert rates[::2] == pytest.approx(
        [own.lr * own.scale_at(i, share) for i, share in enumerate(shares)]
    )
    assert run.step == len(shares) and run.finished


def test_a_stopped_run_by_the_clock_goes_on_where_its_time_was_and_ends_only_once(tmp_path, hand):
    train(gan(hand), tiny_images(), settings(), tmp_path / "a", progress=False)
    stopped = train(
        gan(hand, signal_at=4), tiny_images(), settings(), tmp_path / "b", progress=False
    )
    assert (stopped.step, stopped.finished) == (4, False)
    hand.seconds += 1000  # between the sittings
    resumed = train(gan(hand), tiny_images(), settings(), tmp_path / "b", progress=False)
    assert (resumed.step, resumed.finished) == (6, True) and same(tmp_path / "a", tmp_path / "b")
    card = checkpoints.read_json(checkpoints.find(tmp_path / "b"), "card.json")
    assert card["trained_seconds"] == pytest.approx(6)
    family = gan(hand)
    again = train(family, tiny_images(), settings(), tmp_path / "b", progress=False)
    assert (again.step, again.finished, family.done) == (6, True, 0)
    assert same(tmp_path / "a", tmp_path / "b")


def test_only_training_is_counted(tmp_path, hand, monkeypatch):
    """Not the checks, not the probe of the precision, not the writing of checkpoints."""

    def slow(module, name):
        original = getattr(module, name)

        def slowly(*args, **kwargs):
            hand.seconds += 1000
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, slowly)

    slow(checks, "check_data")
    slow(engine, "fastest_precision")
    slow(checkpoints, "write")
    own = settings(precision="auto", checkpoint_every=2)
    assert train(gan(hand), tiny_images(), own, tmp_path, progress=False).step == 6
    assert hand.seconds > 5 * 1000  # with three checkpoints


def test_a_checkpoint_without_the_time_counts_all_that_its_run_cost(tmp_path, hand):
    """As those written before there was a stopwatch."""
    train(gan(hand, signal_at=2), tiny_images(), settings(), tmp_path, progress=False)
    path = checkpoints.find(tmp_path) / "card.json"
    card = json.loads(path.read_text())
    del card["trained_seconds"]
    card["cost"]["wall_seconds"] = 5.0
    path.write_text(json.dumps(card))
    assert train(gan(hand), tiny_images(), settings(), tmp_path, progress=False).step == 3
    path = checkpoints.find(tmp_path) / "card.json"
    path.write_text(json.dumps({**card, "step": 3, "trained_seconds": "long"}))
    with pytest.raises(T2IError, match="damaged"):
        train(gan(hand), tiny_images(), settings(), tmp_path, progress=False)


@pytest.mark.parametrize(
    "change", [{"minutes": 0.2}, {"clock": "cpu"}, {"minutes": None, "steps": 6}]
)
def test_another_budget_is_another_run(tmp_path, hand, change):
    train(gan(hand), tiny_images(), settings(), tmp_path, progress=False)
    with pytest.raises(T2IError, match=f"training.{next(iter(change))} is"):
        train(gan(hand), tiny_images(), settings(**change), tmp_path, progress=False)


def test_the_bar_counts_seconds(hand, capsys):
    train(gan(hand), tiny_images(), settings())
    said = "".join(capsys.readouterr())
    assert "100%" in said and "6/6 s" in said
    train(gan(hand, signal_at=3), tiny_images(), settings())
    assert "Stopped after step 3 (50% of 0.1 minutes), not saved" in capsys.readouterr().out


def test_the_two_clocks_are_the_walls_and_the_process_time_of_all_cores(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 3.0)
    monkeypatch.setattr(time, "process_time", lambda: 5.0)
    assert {name: clock.now(name) for name in clock.CLOCKS} == {"wall": 3.0, "cpu": 5.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "either steps or minutes, not neither"),
        ({"steps": 5, "minutes": 1.0}, "either steps or minutes, not both"),
        ({"minutes": 0.0}, "minutes must be above 0"),
        ({"minutes": float("nan")}, "minutes must be above 0"),
        ({"minutes": 1.0, "clock": "gpu"}, "clock named 'gpu'"),
    ],
)
def test_a_run_has_one_end(values, message):
    with pytest.raises(T2IError, match=message):
        TrainSettings(**values)


def test_the_command_line_takes_minutes_and_no_second_end(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_STAND_IN", "1")
    monkeypatch.setenv("T2I_PROFILE", "smoke")
    words = ["train", "cvae-fashion", "--run", str(tmp_path), "--minutes", "0.002"]
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    card = checkpoints.read_json(checkpoints.find(tmp_path), "card.json")
    assert card["step"] >= 1 and card["trained_seconds"] >= 0.12
    for second in ("steps", "epochs"):
        with pytest.raises(T2IError, match="a run ends in one way only"):
            recipes.prepare(recipes.recipe("cvae-fashion"), 100, minutes=1.0, **{second: 3})
