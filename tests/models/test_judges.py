"""Classifiers as judges: augmentation, whitening, hashes, and the ones that ship."""

import pytest
import torch
from toys import tiny_images

from t2i_course import evaluation, runs, shipping
from t2i_course.contract import RowGenerator, T2IError, tensors_sha256
from t2i_course.data import fashion
from t2i_course.models.judges import Classifier, ClassifierSettings, shift
from t2i_course.training import checkpoints

needs_real = pytest.mark.skipif(
    fashion.problem() is not None, reason="FashionMNIST is not here (set T2I_DATA)"
)


def small() -> Classifier:
    return Classifier(ClassifierSettings(image_shape=(1, 4, 4), classes=3, width=4, features=5))


def test_shift_moves_each_image_by_whole_pixels_and_fills_with_black():
    """Oracle: torch.roll with the wrapped part blackened."""
    images = torch.rand(5, 2, 4, 6)
    by = torch.tensor([[0, 0], [1, 0], [-2, 1], [0, -2], [2, 2]])
    for image, (down, right), moved in zip(images, by.tolist(), shift(images, by), strict=True):
        want = image.roll((down, right), (1, 2))
        if down:
            want[:, slice(0, down) if down > 0 else slice(down, None)] = 0
        if right:
            want[:, :, slice(0, right) if right > 0 else slice(right, None)] = 0
        assert torch.equal(moved, want)


def test_the_loss_is_the_cross_entropy_of_mirrored_and_shifted_images():
    model, data = small(), tiny_images(8)
    x, c = data.batch(torch.arange(8), RowGenerator(rows=8))
    loss, numbers = model.loss("classifier", x, c, RowGenerator(5, rows=8))
    generator = RowGenerator(5, rows=8)
    mirrored, by = generator.uniform() < 0.5, generator.integers(-2, 3, 2)
    assert 0 < mirrored.sum() < 8
    seen = shift(torch.stack([i.flip(2) if m else i for i, m in zip(x, mirrored, strict=True)]), by)
    want = torch.nn.functional.cross_entropy(model(seen), data.labels)
    torch.testing.assert_close(loss, want)
    assert numbers["accuracy"] == (model(seen).argmax(1) == data.labels).float().mean()


def test_whitened_features_have_zero_mean_and_unit_covariance_on_the_training_set():
    judge, data = small(), tiny_images(400)
    torch.nn.init.zeros_(judge.body[-1].bias)  # a large mean would cost float32 its digits
    shipping.whiten(judge, data)
    f = judge.features()(data.pixels()).double()
    torch.testing.assert_close(f.mean(0), torch.zeros(5).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(f.T), torch.eye(5).double(), atol=1e-3, rtol=0)


def test_one_look_gives_features_and_logits_whatever_the_batch():
    judge, images = small(), tiny_images(120).pixels()
    judge.whiten(torch.arange(5.0), 2 * torch.eye(5))
    features, logits = judge.look(images)
    torch.testing.assert_close(logits, judge(images))
    torch.testing.assert_close(features, 2 * (judge.raw_features(images) - torch.arange(5.0)))


def test_the_hash_is_of_the_weights_and_of_nothing_else():
    a, b = small(), small()
    assert tensors_sha256(a.state_dict()) == tensors_sha256(b.state_dict())
    with torch.no_grad():
        b.head.bias[0] += 1e-6
    assert tensors_sha256(a.state_dict()) != tensors_sha256(b.state_dict())


def test_images_of_another_size_are_refused_not_resized():
    with pytest.raises(T2IError, match="Resize them first"):
        small()(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize("data", ["fashion", "sketches"])
def test_the_judges_that_ship_are_small_and_as_good_as_their_card_says(data):
    if data == "fashion" and fashion.problem() is not None:
        pytest.skip("FashionMNIST is not here (set T2I_DATA)")
    folder = runs.find(f"features-{data}")
    card = checkpoints.read_json(folder, "card.json")
    assert (folder / "weights.safetensors").stat().st_size < 1_000_000
    judge, test = runs.load_judge(data), fashion.load("test", data)
    accuracy = evaluation.judge_accuracy(judge, test)
    assert accuracy == pytest.approx(card["scores"]["test_accuracy"], abs=1e-3)
    assert accuracy >= 0.92


def test_a_folder_of_a_judges_name_elsewhere_is_not_the_judge(tmp_path, monkeypatch):
    (tmp_path / "features-sketches").mkdir()
    monkeypatch.chdir(tmp_path)
    assert runs.load_judge("sketches").title == "features-sketches"
    with pytest.raises(T2IError, match="no judge named 'features-coco'"):
        runs.load_judge("coco")


@pytest.mark.slow
@needs_real
def test_the_shipped_features_are_white_on_the_training_set():
    features = runs.load_judge("fashion").features()
    moments = evaluation.moments(features, fashion.load("train", "fashion"))
    torch.testing.assert_close(moments.mean, torch.zeros(64).double(), atol=1e-2, rtol=0)
    torch.testing.assert_close(moments.covariance, torch.eye(64).double(), atol=2e-2, rtol=0)
