"""The engine: what it computes, what it logs, how it stops and how it goes on."""

import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import NormedGAN, ToyGAN, tiny_cvae, tiny_images

from t2i_course.contract import Condition, RowGenerator, T2IError
from t2i_course.models.vae import CVAE
from t2i_course.training import checkpoints, engine, optimizers
from t2i_course.training.engine import batch_indices, train
from t2i_course.training.log import read
from t2i_course.training.settings import OptimizerSettings, TrainSettings


def settings(**changes) -> TrainSettings:
    values = {"steps": 6, "batch_size": 8, "precision": "fp32", "log_every": 1}
    return TrainSettings(**{**values, **changes})


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


@given(
    size=st.integers(1, 40), batch=st.integers(1, 50), seed=st.integers(0, 9), n=st.integers(1, 12)
)
def test_every_example_is_seen_once_an_epoch_in_full_batches(size, batch, seed, n):
    walked = torch.cat([batch_indices(seed, step, batch, size) for step in range(n)])
    assert len(walked) == n * batch
    for epoch in walked.split(size):
        assert len(epoch.unique()) == len(epoch) and epoch.max() < size


def test_a_step_is_what_a_plain_loop_does():
    """Oracle: torch's Adam on the same batches and draws, written out."""
    data, plain = tiny_images(), tiny_cvae()
    run = train(tiny_cvae(), data, settings(), progress=False)
    optimizer = torch.optim.Adam(plain.parameters(), 1e-3)
    for step in range(6):
        index = batch_indices(0, step, 8, len(data))
        images, condition = data.batch(index, RowGenerator(rows=8))
        loss, _ = plain.loss("cvae", images, condition, RowGenerator(0, step, "cvae", rows=8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert run.log["cvae/loss"][step] == pytest.approx(loss.item(), rel=1e-6)
    for name, value in run.family.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", [tiny_cvae, ToyGAN])
def test_four_micro_batches_equal_one_batch(family):
    whole = train(family(), tiny_images(), settings(), progress=False)
    parts = train(family(), tiny_images(), settings(micro_batches=4), progress=False)
    for name, value in parts.family.state_dict().items():
        torch.testing.assert_close(value, whole.family.state_dict()[name], rtol=1e-4, atol=1e-6)
    for name in whole.log:
        if name != "seconds":
            assert parts.log[name] == pytest.approx(whole.log[name], rel=1e-5)


def test_while_one_network_trains_the_others_get_no_gradient():
    seen = []

    class Watched(ToyGAN):
        def loss(self, name, images, condition, generator):
            frozen = {n: all(not p.requires_grad for p in net.parameters())
                      for n, net in self.networks.items()}  # fmt: skip
            seen.append((name, frozen))
            return super().loss(name, images, condition, generator)

    run = train(Watched(), tiny_images(), settings(steps=1), progress=False)
    assert seen == [
        ("discriminator", {"discriminator": False, "generator": True}),
        ("generator", {"discriminator": True, "generator": False}),
    ]
    assert all(p.requires_grad for p in run.family.parameters())


def test_autocast_is_on_inside_the_loss():
    seen = []

    class Watched(ToyGAN):
        def loss(self, name, images, condition, generator):
            seen.append(self.discriminator(images.flatten(1)).dtype)
            return super().loss(name, images, condition, generator)

    train(Watched(), tiny_images(), settings(steps=1, precision="bf16"), progress=False)
    train(Watched(), tiny_images(), settings(steps=1, precision="fp32"), progress=False)
    assert seen == [torch.bfloat16] * 2 + [torch.float32] * 2


def test_precision_auto_is_probed_without_touching_the_run_and_stands_on_the_card(
    tmp_path, monkeypatch
):
    run = train(tiny_cvae(), tiny_images(), settings(precision="auto"), tmp_path, progress=False)
    card = checkpoints.read_json(checkpoints.find(tmp_path), "card.json")
    assert card["precision"] in ("fp32", "bf16")
    for fastest in ("fp32", "bf16"):  # whatever the clock says
        monkeypatch.setattr(engine, "fastest_precision", lambda *_, fastest=fastest: fastest)
        folder = tmp_path / fastest
        train(tiny_cvae(), tiny_images(), settings(precision="auto"), folder, progress=False)
        probed = checkpoints.read_json(checkpoints.find(folder), "card.json")["precision"]
        assert probed == fastest
    again = train(tiny_cvae(), tiny_images(), settings(precision=card["precision"]), progress=False)
    assert same(run.family, again.family)


def test_each_network_has_its_own_optimizer_settings():
    still = settings(optimizers={"generator": OptimizerSettings(lr=1e-12)})
    before = ToyGAN()
    after = train(ToyGAN(), tiny_images(), still, progress=False).family
    for name, moved in (("generator", False), ("discriminator", True)):
        weights = zip(
            before.networks[name].parameters(), after.networks[name].parameters(), strict=True
        )
        assert all(torch.allclose(a, b, atol=1e-9) is not moved for a, b in weights)


def test_learning_rate_warms_up_and_falls_as_a_cosine():
    own = OptimizerSettings(lr=2.0, warmup=3, schedule="cosine")
    rates = [own.lr * own.scale_at(step, step / 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.5) and rates[3] == pytest.approx(2.0, rel=0.01)
    assert rates[50] == pytest.approx(1.0) and 0 < rates[99] < 0.002
    assert own.scale_at(100, 1.0) == 0.0
    assert {OptimizerSettings().scale_at(step, step / 10) for step in range(10)} == {1.0}


@pytest.mark.parametrize("largest", [0.5, 5.0, 1e9])
def test_gradients_are_clipped_as_torch_clips_them(largest):
    """Oracle: `torch.nn.utils.clip_grad_norm_`; the norm of these is 5."""
    both = []
    for clip in (optimizers.clip_gradients, torch.nn.utils.clip_grad_norm_):
        parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
        parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
        both.append([clip(parameters, largest), parameters[0].grad, parameters[1].grad])
    for ours, theirs in zip(*both, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert both[0][0] == 5


def test_the_gradient_is_clipped_to_the_norm_asked_for(monkeypatch):
    norms = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **kwargs):
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    clipped = settings(optimizers={"cvae": OptimizerSettings(clip=0.01)})
    run = train(tiny_cvae(), tiny_images(), clipped, progress=False)
    assert norms == pytest.approx([0.01] * 6, rel=1e-3)
    assert min(run.log["cvae/grad_norm"]) > 0.01


@pytest.mark.parametrize("family", [tiny_cvae, NormedGAN])
def test_ema_is_the_weighted_mean_of_the_weights_so_far(family):
    """Oracle: the recursion, on the weights after each step (runs of 1, 2, 3 … steps)."""
    averaged = family().state_dict()
    for steps in range(1, 5):
        run = train(family(), tiny_images(), settings(steps=steps, ema=0.3), progress=False)
        d = min(0.3, (1 + steps) / (10 + steps))
        for name, value in run.family.state_dict().items():
            counter = not value.is_floating_point()  # BatchNorm's, of batches
            averaged[name] = value if counter else d * averaged[name] + (1 - d) * value
    for name, value in run.ema.shadow.items():
        torch.testing.assert_close(value, averaged[name])
    own = {name: value.clone() for name, value in run.family.state_dict().items()}
    with run.ema.swapped():
        assert all(torch.equal(v, run.ema.shadow[k]) for k, v in run.family.state_dict().items())
    assert all(torch.equal(v, own[k]) for k, v in run.family.state_dict().items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("family", [tiny_cvae, ToyGAN])
def test_interrupted_and_resumed_ends_bit_for_bit_where_the_unbroken_run_does(
    tmp_path, family, number
):
    optimizer = OptimizerSettings(
        lr=0.01, betas=(0.5, 0.9), weight_decay=0.1, warmup=3, schedule="cosine", clip=0.2
    )
    optimizers = {name: optimizer for name in family().networks}
    own = settings(ema=0.9, checkpoint_every=4, steps=9, optimizers=optimizers)
    unbroken = train(family(), tiny_images(), own, tmp_path / "a", progress=False)

    class CtrlC(type(tiny_images())):
        calls = 0

        def batch(self, index, generator):
            CtrlC.calls += 1
            if CtrlC.calls == 6:  # one call checks the data, so this is in the fifth step
                signal.raise_signal(number)
            return super().batch(index, generator)

    pressed = CtrlC(**vars(tiny_images()))
    stopped = train(family(), pressed, own, tmp_path / "b", progress=False)
    assert (stopped.step, stopped.finished) == (5, False)
    resumed = train(family(), tiny_images(), own, tmp_path / "b", progress=False)
    assert resumed.finished and same(unbroken.family, resumed.family)
    assert all(torch.equal(v, resumed.ema.shadow[k]) for k, v in unbroken.ema.shadow.items())
    logs = [read(tmp_path / name / "log.csv") for name in "ab"]
    for row in (*logs[0], *logs[1]):
        del row["seconds"]
    assert logs[0] == logs[1] and [row["step"] for row in logs[0]] == list(range(1, 10))


def test_a_second_ctrl_c_stops_at_once_and_the_family_is_left_whole():
    class Impatient(ToyGAN):
        def loss(self, name, images, condition, generator):
            signal.raise_signal(signal.SIGINT)
            return super().loss(name, images, condition, generator)

    family = Impatient()
    with pytest.raises(KeyboardInterrupt):
        train(family, tiny_images(), settings(), progress=False)
    assert all(p.requires_grad for p in family.parameters()) and not family.training


def test_a_step_uses_the_schedule_the_betas_and_the_weight_decay(monkeypatch):
    """Oracle: what torch's AdamW is given, step by step."""
    seen = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **kwargs):
        group = self.param_groups[0]
        seen.append((group["lr"], tuple(group["betas"]), group["weight_decay"]))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    own = OptimizerSettings(betas=(0.5, 0.9), weight_decay=0.1, warmup=2, schedule="cosine")
    train(tiny_cvae(), tiny_images(), settings(optimizers={"cvae": own}), progress=False)
    assert seen == [(own.lr * own.scale_at(i, i / 6), (0.5, 0.9), 0.1) for i in range(6)]
    assert len({lr for lr, _, _ in seen}) > 3


def test_training_works_inside_no_grad():
    with torch.no_grad():
        run = train(tiny_cvae(), tiny_images(), settings(), progress=False)
    assert not same(run.family, tiny_cvae())


def test_batchnorm_is_refused_where_it_would_see_a_part_of_the_batch():
    with pytest.raises(T2IError, match="uses BatchNorm.*micro_batches=1"):
        train(NormedGAN(), tiny_images(), settings(micro_batches=2), progress=False)


def test_dropout_is_refused_because_it_draws_from_the_global_generator():
    class Drops(ToyGAN):
        def __init__(self):
            super().__init__()
            self.generator.append(torch.nn.Dropout(0.5))

    with pytest.raises(T2IError, match="global generator"):
        train(Drops(), tiny_images(), settings(), progress=False)


def test_a_finished_run_is_read_not_trained_again(tmp_path):
    first = train(tiny_cvae(), tiny_images(), settings(), tmp_path, progress=False)
    again = train(tiny_cvae(), tiny_images(), settings(), tmp_path, progress=False)
    assert same(first.family, again.family) and again.log == first.log
    card = checkpoints.read_json(checkpoints.find(tmp_path), "card.json")
    assert again.cost.wall_seconds >= card["cost"]["wall_seconds"] > 0


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a,b\n1,2\n", b"step,seconds\n3,1\n4"])
def test_a_spoilt_log_does_not_keep_a_run_from_going_on(tmp_path, content):
    own = settings(checkpoint_every=3)
    train(tiny_cvae(), tiny_images(), own, tmp_path, progress=False)
    (tmp_path / "log.csv").write_bytes(content)
    assert train(tiny_cvae(), tiny_images(), own, tmp_path, progress=False).finished


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    train(
        tiny_cvae(), tiny_images(), settings(checkpoint_every=1, keep=2), tmp_path, progress=False
    )
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-000005", "step-000006"]
    assert (tmp_path / "latest").read_text() == "step-000006\n"


def test_a_loss_that_is_not_finite_stops_the_run_and_names_what_is_safe(tmp_path):
    class Broken(ToyGAN):
        calls = 0

        def loss(self, name, images, condition, generator):
            loss, numbers = super().loss(name, images, condition, generator)
            Broken.calls += name == "generator"
            return loss * (float("nan") if Broken.calls == 7 else 1), numbers

    own = settings(steps=20, checkpoint_every=4, log_every=5)
    with pytest.raises(T2IError, match="'generator' is not finite at step 7") as error:
        train(Broken(), tiny_images(), own, tmp_path, progress=False)
    assert "step-000005" in str(error.value)
    last = str(error.value).split("last finite: ")[1].split(")")[0].split(", ")
    assert last and all(0 < float(loss) < 2 for loss in last)
    weights = checkpoints.read_tensors(checkpoints.find(tmp_path), "weights")
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """The loss of the last step before a checkpoint is still finite; its gradient is not."""

    class Broken(CVAE):
        def loss(self, name, images, condition, generator):
            loss, numbers = super().loss(name, images, condition, generator)
            return loss + torch.sqrt(0 * self.encoder[0].weight.sum()), numbers  # gradient 0 * inf

    with pytest.raises(T2IError, match=r"not finite after step 1\. No checkpoint was written yet"):
        train(
            Broken(tiny_cvae().settings),
            tiny_images(),
            settings(checkpoint_every=1),
            tmp_path,
            progress=False,
        )
    assert not list(tmp_path.glob("step-*"))


def test_a_run_of_other_settings_in_the_folder_is_an_error_and_stays(tmp_path):
    train(tiny_cvae(), tiny_images(), settings(), tmp_path, progress=False)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(T2IError, match="training.seed is 0 there and 1 here"):
        train(tiny_cvae(), tiny_images(), settings(seed=1), tmp_path, progress=False)
    with pytest.raises(T2IError, match="data.images is 50 there and 40 here"):
        train(tiny_cvae(), tiny_images(40), settings(), tmp_path, progress=False)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before
    with pytest.raises(T2IError, match="family.seed is 0 there and 5 here"):
        other = CVAE(tiny_cvae().settings, seed=5)
        train(other, tiny_images(), settings(), tmp_path, progress=False)
    inverted = tiny_images()
    object.__setattr__(inverted, "images", 255 - inverted.images)
    with pytest.raises(T2IError, match="data.sha256"):
        train(tiny_cvae(), inverted, settings(), tmp_path, progress=False)
    same_run = settings(log_every=3, micro_batches=2)
    train(tiny_cvae(), tiny_images(), same_run, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"micro_batches": 3}, "multiple of 3"),
        ({"optimizers": {"decoder": OptimizerSettings()}}, "no network of 'cvae' named 'decoder'"),
        ({"batch_size": 51}, "more than the 50 images"),
    ],
)
def test_settings_that_do_not_fit_are_an_error(change, message):
    with pytest.raises(T2IError, match=message):
        train(tiny_cvae(), tiny_images(), settings(**change), progress=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 1, "precision": "fp33"}, "Did you mean 'fp32'"),
        ({"steps": 1, "ema": 1.0}, "ema must be in"),
    ],
)
def test_settings_that_make_no_sense_are_an_error(values, message):
    with pytest.raises(T2IError, match=message):
        TrainSettings(**values)


def test_images_outside_the_range_are_refused_before_training():
    class Signed(type(tiny_images())):
        def batch(self, index, generator):
            images, condition = super().batch(index, generator)
            return 2 * images - 1, condition

    with pytest.raises(T2IError, match=r"must give float32 images \[B, C, H, W\] in \[0, 1\]"):
        train(tiny_cvae(), Signed(**vars(tiny_images())), settings(), progress=False)


def test_a_parameter_outside_the_networks_is_an_error():
    class Loose(ToyGAN):
        def __init__(self):
            super().__init__()
            self.loose = torch.nn.Parameter(torch.zeros(1))

    with pytest.raises(T2IError, match="exactly one of its networks"):
        train(Loose(), tiny_images(), settings(), progress=False)


def test_training_draws_nothing_from_the_global_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    family = train(tiny_cvae(), tiny_images(), settings(), progress=False).family
    family.sample(Condition.of(torch.eye(3)), RowGenerator(0, rows=3))
    assert torch.equal(before, torch.get_rng_state())
