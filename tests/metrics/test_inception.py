"""Inception's features, held against torch-fidelity's own FID and Inception Score, with weights of
the published form that were never trained: the published ones are not at hand everywhere."""

import pytest
import torch
import torch_fidelity
from torch_fidelity import feature_extractor_inceptionv3 as published

from t2i_course.contract import T2IError, file_sha256
from t2i_course.metrics import inception
from t2i_course.metrics.frechet import Moments, frechet_distance
from t2i_course.metrics.inception_score import InceptionScore


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    class Untrained(published.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            pass

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(published, "load_state_dict_from_url", lambda *args, **kwargs: {})
        network = Untrained("untrained", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


def pictures(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (8, 3, 40, 40), generator=generator, dtype=torch.uint8)


@pytest.mark.slow
def test_fid_and_inception_score_are_torch_fidelitys(weights, monkeypatch):
    monkeypatch.setattr(inception, "SHA256", file_sha256(weights)[:8])
    monkeypatch.setenv("T2I_INCEPTION", str(weights))
    found = inception.load()
    seen = [found.seen(pictures(seed) / 255) for seed in (0, 1)]
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(0), input2=Pictures(1), fid=True, isc=True, isc_splits=1, cuda=False,
        feature_extractor_weights_path=str(weights), batch_size=8, save_cpu_ram=False,
        cache=False, verbose=False, samples_shuffle=False,
    )  # fmt: skip
    moments = [Moments.of(features.double()) for features, _ in seen]
    ours = frechet_distance(*moments)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    score = InceptionScore(8, splits=1)
    score.update(seen[0][1])
    assert score.compute()[0] == pytest.approx(theirs["inception_score_mean"], rel=1e-5)


class Pictures(torch.utils.data.Dataset):
    def __init__(self, seed: int):
        self.images = pictures(seed)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.images[i]


def test_without_the_published_weights_it_says_where_they_are_and_opens_no_other_pickle(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("T2I_INCEPTION", str(tmp_path / "none.pth"))
    with pytest.raises(T2IError, match=r"no Inception weights.*weights-inception.*T2I_INCEPTION"):
        inception.load()
    (tmp_path / "none.pth").write_bytes(b"\x80\x04N.")  # a pickle all the same
    with pytest.raises(T2IError, match=r"not the published file.*6726825d"):
        inception.load()
    monkeypatch.delenv("T2I_INCEPTION")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(T2IError, match=r"could not be fetched \(no network\)"):
        inception.load()
