"""The widgets with the shipped models: they draw what the package draws, and say what it says."""

import re

import pytest
import torch
from toys import ToyGAN, tiny_images

from t2i_course import background, panels, prompting, runs, sampling
from t2i_course.contract import Condition, RowGenerator
from t2i_course.diffusion import schedules
from t2i_course.errors import T2IError
from t2i_course.models.diffusion import SampleSettings
from t2i_course.show.widgets.page import gallery
from t2i_course.training import engine
from t2i_course.training.settings import TrainSettings

LONG = 60.0


def moved(live, **values):
    for name, value in values.items():
        live.controls[name].value = value
    assert live.wait(LONG)
    return live.picture.value


def pictures(html):
    return re.findall(r"base64,([^\"]+)", html)


def drawn(images):
    """The same pictures as a gallery sends them."""
    return pictures(gallery(images, ["A picture of something."] * len(images)))


def test_the_latent_walk_draws_with_the_shipped_cvae_and_finds_the_latents_that_matter():
    live = panels.latent_walk("cvae-fashion")
    model = runs.load_family("cvae-fashion")
    sliders = sorted(int(name[1:]) for name in live.controls if name != "label")
    assert len(sliders) == 4
    z = torch.zeros(1, model.settings.latent_dim)
    z[0, sliders[1]] = 1.5
    with torch.no_grad():
        wanted = model.decode(z, Condition.of(torch.eye(10)[8:9]))
        z_all = torch.zeros(model.settings.latent_dim, model.settings.latent_dim)
        moves = [
            (model.decode(z_all[i : i + 1] + 2 * torch.eye(len(z_all))[i], c) - at_0).abs().mean()
            for c in [Condition.of(torch.eye(10)[1:2])]
            for at_0 in [model.decode(z_all[:1], c)]
            for i in range(len(z_all))
        ]
    html = moved(live, label=8, **{f"z{sliders[1]}": 1.5})
    assert pictures(html) == drawn(wanted)
    assert min(moves[i] for i in sliders) > 0.01  # none of the latents that do nothing
    with pytest.raises(T2IError, match="no CVAE"):
        panels.latent_walk("gan-fashion")


def test_the_noise_schedule_is_q_sample_at_any_time_and_keeps_its_noise():
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    live = panels.noise_schedule(images)
    clean = pictures(moved(live, schedule="flow", t=0.0))
    assert clean[:2] == drawn(images)
    noise = pictures(moved(live, t=1.0))[:2]
    moved(live, t=0.5)
    assert noise == pictures(moved(live, t=1.0))[:2] != clean[:2]
    path = schedules.path("cosine")
    eps = RowGenerator("noise schedule", rows=2).normal(1, 8, 8)
    x_t = schedules.q_sample(path, 2 * images - 1, 0.25, eps)
    half = pictures(moved(live, schedule="cosine", t=0.25))
    assert half[:2] == drawn(((x_t + 1) / 2).clamp(0, 1))


def test_the_sampler_ends_in_the_picture_that_the_model_samples():
    live = panels.sampler("diffusion-fashion")
    html = moved(live, label=9, sampler="heun", steps=3, w=2.0, seed=4)
    model = runs.load_family("diffusion-fashion")
    wanted = model.sample(
        Condition.of(torch.eye(10)[9:]), RowGenerator(4, "sample", rows=1),
        SampleSettings(sampler="heun", steps=3, w=2.0),
    )  # fmt: skip
    assert pictures(html)[3] == pictures(html)[-1] == drawn(wanted)[0]
    with pytest.raises(T2IError, match="no diffusion model"):
        panels.sampler("cvae-fashion")


@pytest.mark.parametrize("name", ["diffusion-shapes", "cvae-shapes"])
def test_the_prompt_box_draws_as_the_command_line_does_with_the_exact_readers_verdict(name):
    live = panels.prompt_box(name, "a large red circle")
    prompt = "a large green triangle"
    html = moved(live, prompt=prompt, count=2, seed=3)
    model, clip = runs.load_family(name), runs.load_clip(name)
    settings = runs.sampling_settings(name, model, {})
    wanted = prompting.draw(model, clip, [prompt], count=2, seed=3, settings=settings)[0]
    assert pictures(html) == drawn(wanted)
    verdicts = [prompting.said(image, prompt) for image in wanted]
    assert re.findall(r"<figcaption>. (.*?)</figcaption>", html) == verdicts
    moved(live, prompt="a green wug")
    assert "never saw 'wug'" in live.status.value.replace("&#x27;", "'")
    moved(live, prompt="")
    assert 'role="alert"' in live.status.value  # the sentence that the command line would print


def test_the_metric_explorer_says_the_closed_form():
    live = panels.metric_explorer()
    moved(live, x=2.0, y=1.0, width=3.0, tilt=0.0, n=10_000)
    # |(2, 1)|² + 2 (3 − 1)²
    assert "Fréchet distance 13.00 = 5.00 (means) + 8.00 (covariances)" in live.status.value
    estimate = float(re.findall(r"points each: ([\d.]+)", live.status.value)[0])
    assert abs(estimate - 13) < 0.5


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    settings = TrainSettings(
        steps=6, batch_size=8, precision="fp32", log_every=1, checkpoint_every=2
    )
    engine.train(ToyGAN(), tiny_images(), settings, folder, progress=False)
    return folder


def test_a_finished_run_is_seen_to_be_finished(run):
    sight = panels.sight(run)
    assert sight.over and sight.said.startswith("Finished: 6 steps in")
    assert sight.checkpoint == "step-000006" and len(sight.columns["generator/loss"]) == 6


def test_a_run_on_its_way_says_how_far_it_is_and_one_to_come_that_it_is_awaited(run, tmp_path):
    lines = (run / "log.csv").read_text().splitlines()
    (run / "log.csv").write_text("\n".join(lines[:5]) + "\n")  # four rows
    (run / "latest").write_text("step-000004\n")
    sight = panels.sight(run)
    assert not sight.over and sight.said.startswith("Step 4 (67%)")
    assert " left; last row 0 s ago." in sight.said
    awaited = panels.sight(tmp_path / "to-come")
    assert not awaited.over and awaited.said.startswith("Nothing to see yet")


def test_samples_are_those_of_the_checkpoint_and_none_of_what_cannot_draw(tmp_path):
    images, asked = panels.samples(runs.ZOO / "cvae-fashion")
    model = runs.load_family("cvae-fashion")
    torch.testing.assert_close(images, sampling.draw(model, torch.eye(10), 1))
    assert len(asked) == 10
    images, asked = panels.samples(runs.ZOO / "cvae-shapes")
    assert images.shape == (3, 3, 32, 32) and asked == panels.SHAPES
    assert panels.samples(runs.ZOO / "features-fashion")[1] == []
    assert panels.samples(tmp_path / "step-000001")[1] == []  # pruned meanwhile


@pytest.mark.slow
def test_a_training_beside_is_watched_stopped_and_saved(monkeypatch):
    monkeypatch.setenv("T2I_STAND_IN", "1")
    monkeypatch.setenv("T2I_PROFILE", "smoke")
    options = ("--steps", "100000", "--log-every", "1", "--batch-size", "8", "--precision", "fp32")
    beside = background.train("cvae-fashion", *options, run="beside")
    live = panels.training_monitor(beside)
    while "Step" not in live.status.value:
        assert beside.running, background.last_words(beside.folder)
        assert not live.wait(0.1)
    beside.stop()
    assert beside.wait(LONG) == 130
    assert live.wait(LONG) and "Stopped after step" in live.status.value
    assert (beside.folder / "latest").exists() and "values up to step" in live.picture.value


def test_what_is_wrong_with_a_training_beside_is_seen(monkeypatch):
    beside = background.train("no-such-recipe")
    assert beside.wait(LONG) == 2 and not beside.running
    sight = panels.sight(beside.folder, beside)
    assert sight.over and "no recipe named 'no-such-recipe'" in sight.said
