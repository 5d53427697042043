"""Evaluation: the numbers against torch-fidelity's functions and known answers."""

import json

import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

from t2i_course import evaluation, runs
from t2i_course.contract import Family, T2IError
from t2i_course.data import fashion
from t2i_course.models.vae import CVAE, VAE, Autoencoder


class Copier(Family):
    """Hands out given images: a generator whose scores are known."""

    name = "copier"
    conditional = True

    def __init__(self, images, settings=None, seed=0):
        super().__init__()
        self.images, self.image_shape = torch.nn.Parameter(images), (1, 28, 28)

    @property
    def networks(self):
        return {}

    def loss(self, name, images, condition, generator):
        raise NotImplementedError

    def sample(self, condition, generator, settings=None):
        return self.images[generator.rows.start : generator.rows.stop].detach()


@pytest.fixture(scope="module")
def stand_in():
    return runs.load_judge("sketches"), fashion.load("train", "sketches", limit=1000), fashion.load(
        "test", "sketches", limit=1000
    )  # fmt: skip


def test_scores_are_torch_fidelitys_on_the_same_features(stand_in):
    judge, train, test = stand_in
    drawn = torch.rand(1000, 1, 28, 28) * train.pixels()
    result = evaluation.evaluate(Copier(drawn), judge, train, test, samples=1000)
    features = judge.features()
    statistics = [
        fid_features_to_statistics(features(images).double())
        for images in (drawn, test.pixels(), train.pixels())
    ]
    theirs = fid_statistics_to_metric(statistics[0], statistics[1], verbose=False)
    floor = fid_statistics_to_metric(statistics[2], statistics[1], verbose=False)
    score = result.scores["frechet"]
    key = "frechet_inception_distance"
    assert score.value == pytest.approx(theirs[key], rel=1e-4)
    assert score.floor == pytest.approx(floor[key], rel=1e-4)
    assert score.times_floor == pytest.approx(theirs[key] / floor[key], rel=1e-4)
    with torch.no_grad():
        logits = judge(drawn)
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)["inception_score_mean"]
    assert result.scores["inception"].value == pytest.approx(theirs, rel=1e-4)
    wanted = torch.arange(1000) % 10
    accuracy = (logits.argmax(1) == wanted).float().mean().item()
    assert result.scores["class_accuracy"].value == pytest.approx(accuracy)


def test_real_images_score_at_the_floor_and_the_ceiling(stand_in):
    judge, train, test = stand_in
    order = torch.cat([(train.labels == k).nonzero()[:, 0][:100] for k in range(10)])
    order = order.view(10, 100).T.flatten()  # classes in turn, as evaluate asks for them
    result = evaluation.evaluate(Copier(train.pixels(order)), judge, train, test, samples=1000)
    assert result.scores["frechet"].times_floor == pytest.approx(1, abs=0.01)
    accuracy = result.scores["class_accuracy"]
    assert accuracy.value > 0.9 and accuracy.ceiling == evaluation.judge_accuracy(judge, test)


def test_every_score_says_what_it_depends_on_and_that_the_data_is_a_stand_in(stand_in, tmp_path):
    judge, train, test = stand_in
    result = evaluation.evaluate(CVAE(), judge, train, test, samples=100)
    for key in ("frechet", "inception", "class_accuracy"):
        score = result.scores[key]
        assert score.features == "features-sketches" and len(score.features_sha256) == 64
        assert score.samples == 100 and "stand-in" in score.note
        assert score.floor is not None or score.ceiling is not None
    result.write(tmp_path / "evaluation.json")
    assert (
        json.loads((tmp_path / "evaluation.json").read_text())["scores"].keys()
        == result.scores.keys()
    )


def test_models_without_a_label_have_no_class_accuracy_and_without_an_elbo_no_elbo(stand_in):
    for family, keys in ((VAE(), {"negative_elbo", "kl"}), (Autoencoder(), set())):
        result = evaluation.evaluate(family, *stand_in, samples=100)
        assert result.scores.keys() == {"frechet", "inception"} | keys and not result.per_class


def test_the_same_seed_gives_the_same_scores_and_another_one_does_not(stand_in):
    values = [
        evaluation.evaluate(CVAE(), *stand_in, samples=100, seed=seed).scores["frechet"].value
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_negative_elbo_is_the_mean_of_its_terms_however_it_is_batched(stand_in, monkeypatch):
    model, test = CVAE(), stand_in[2]
    whole = evaluation.negative_elbo(model, test)
    monkeypatch.setattr(evaluation, "BATCH", 33)
    assert evaluation.negative_elbo(model, test) == pytest.approx(whole, rel=1e-6)


def test_the_floor_is_of_as_many_images_as_the_score(stand_in):
    """Real training images score at the floor whatever their number."""
    judge, train, test = stand_in
    order = torch.cat([(train.labels == k).nonzero()[:, 0][:20] for k in range(10)])
    order = order.view(10, 20).T.flatten()
    score = evaluation.evaluate(Copier(train.pixels(order)), judge, train, test, samples=200)
    assert score.scores["frechet"].times_floor == pytest.approx(1, abs=0.3)


def test_a_judge_of_other_data_is_refused(stand_in):
    judge = runs.load_judge("fashion")
    with pytest.raises(T2IError, match="features-fashion was not trained on sketches"):
        evaluation.evaluate(CVAE(), judge, *stand_in[1:], samples=100)


def test_samples_that_cannot_be_shared_out_are_an_error(stand_in):
    with pytest.raises(T2IError, match="a multiple of the 10 classes"):
        evaluation.evaluate(CVAE(), *stand_in, samples=105)
