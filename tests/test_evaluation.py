"""Evaluation: the numbers against torch-fidelity's functions and known answers."""

import json
import statistics

import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from t2i_course import evaluation, reference, runs
from t2i_course.contract import Family, T2IError
from t2i_course.data import fashion
from t2i_course.models.vae import CVAE, VAE, Autoencoder, CVAESettings, SampleSettings
from t2i_course.reference import Reference


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
    drawn = (255 * drawn).round() / 255  # what is scored is what a file would hold
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
    real = features(test.pixels())
    theirs = prc_features_to_metric(
        features(drawn), real, prc_neighborhood=3, prc_batch_size=1000, save_cpu_ram=False,
        verbose=False,
    )  # fmt: skip
    assert result.scores["precision"].value == pytest.approx(theirs["precision"], abs=2e-3)
    assert result.scores["recall"].value == pytest.approx(theirs["recall"], abs=2e-3)
    theirs = kid_features_to_metric(
        features(drawn), real, kid_subsets=1, kid_subset_size=1000, verbose=False
    )["kernel_inception_distance_mean"]
    kid = result.scores["kid"]
    assert kid.low < theirs < kid.high and kid.value == pytest.approx(theirs, rel=0.2)
    torch.testing.assert_close(result.features, features(drawn))
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
    for key in ("precision", "recall"):
        assert result.scores[key].value == pytest.approx(result.scores[key].ceiling, abs=0.03)
    assert result.scores["kid"].low < 0 < result.scores["kid"].high
    assert result.scores["near_copies"].value == 1  # all of them are training images
    assert result.scores["near_duplicates"].value == pytest.approx(0.01, abs=0.01)
    assert result.class_shares.values() == pytest.approx(10 * [0.1], abs=0.02)


def test_unseen_images_are_no_copies_and_one_image_drawn_again_is_a_duplicate(stand_in):
    judge, train, test = stand_in
    unseen = evaluation.evaluate(Copier(test.pixels()), judge, train, test, samples=1000).scores
    assert unseen["near_copies"].value == unseen["near_copies"].floor == 0.01
    assert unseen["near_duplicates"].value < 0.03
    one = test.pixels(slice(1)).expand(1000, 1, 28, 28)
    collapsed = evaluation.evaluate(Copier(one), judge, train, test, samples=1000)
    assert (
        collapsed.scores["near_duplicates"].value == 1 and collapsed.scores["recall"].value <= 1e-3
    )
    assert max(collapsed.class_shares.values()) == 1


def test_every_score_says_what_it_depends_on_and_that_the_data_is_a_stand_in(stand_in, tmp_path):
    judge, train, test = stand_in
    result = evaluation.evaluate(CVAE(), judge, train, test, samples=100)
    for key, score in result.scores.items():
        if key in ("negative_elbo", "kl"):
            continue
        if not key.startswith("near_"):
            assert score.features == "features-sketches" and len(score.features_sha256) == 64
        assert score.samples == 100 and "stand-in" in score.note
        assert score.floor is not None or score.ceiling is not None
    result.write(tmp_path / "evaluation.json")
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["scores"].keys() == result.scores.keys() and "features" not in written


def test_models_without_a_label_have_no_class_accuracy_and_without_an_elbo_no_elbo(stand_in):
    for family, keys in ((VAE(), {"negative_elbo", "kl"}), (Autoencoder(), set())):
        result = evaluation.evaluate(family, *stand_in, samples=100)
        always = {"frechet", "kid", "inception", "precision", "recall"}
        always |= {"near_copies", "near_duplicates"}  # frechet_infinity needs more samples
        assert result.scores.keys() == always | keys and not result.per_class


def test_the_same_seed_gives_the_same_scores_and_another_one_does_not(stand_in):
    values = [
        evaluation.evaluate(CVAE(), *stand_in, samples=100, seed=seed).scores["frechet"].value
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_several_seeds_give_the_median_and_an_interval_of_what_each_gives(stand_in):
    """Oracle: each seed evaluated by itself."""
    single = [evaluation.evaluate(CVAE(), *stand_in, samples=100, seed=3 + i) for i in range(5)]
    result = evaluation.evaluate(CVAE(), *stand_in, samples=100, seed=3, seeds=5)
    for key, score in result.scores.items():
        values = [one.scores[key].value for one in single]
        assert (score.low, score.high) == (min(values), max(values)), key
        assert score.value == statistics.median(values)
        assert (
            score.interval == "5 sampling seeds" and score.samples == single[0].scores[key].samples
        )
    assert result.images == 500 and result.features.equal(single[0].features)
    name = stand_in[2].classes[0]
    each = [one.per_class[name] for one in single]
    assert result.per_class[name] == pytest.approx(statistics.mean(each))
    with pytest.raises(T2IError, match="at least 5 sampling seeds, not 3"):
        evaluation.evaluate(CVAE(), *stand_in, samples=100, seeds=3)


def test_sampling_settings_reach_the_family_and_the_record(stand_in):
    still = evaluation.evaluate(CVAE(), *stand_in, samples=100, settings=SampleSettings(0.0))
    assert still.settings == {"temperature": 0.0} and still.to_dict()["settings"]
    assert still.scores["near_duplicates"].value == 1  # one picture a class


def test_a_family_with_a_null_can_be_drawn_from_without_a_condition(stand_in):
    dropping = CVAE(CVAESettings(drop=0.1))
    result = evaluation.evaluate(dropping, *stand_in, samples=100, conditional=False)
    assert "class_accuracy" not in result.scores and not result.per_class
    assert sum(result.class_shares.values()) == pytest.approx(1)
    with pytest.raises(T2IError, match="no null"):
        evaluation.evaluate(CVAE(), *stand_in, samples=100, conditional=False)


def test_real_images_are_looked_at_once_for_all_models_on_the_same_data(stand_in):
    judge, train, test = stand_in
    made = Reference.of(judge, train, test, 100)
    assert Reference.of(judge, train, test, 100) is made
    assert Reference.of(judge, train, test, 200) is not made
    assert Reference.of(judge, train[:500], test, 100).train.shape == (500, 196)
    with pytest.raises(T2IError, match="has 500 of the 1,000"):
        Reference.of(judge, train[:500], test, 1000)


def test_negative_elbo_is_the_mean_of_its_terms_however_it_is_batched(stand_in, monkeypatch):
    model, test = CVAE(), stand_in[2]
    whole = evaluation.negative_elbo(model, test)
    monkeypatch.setattr(reference, "BATCH", 33)
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
