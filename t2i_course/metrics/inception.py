"""Inception-v3 as published FID and Inception Scores use it, through torch-fidelity.

Its weights (91 MB, TensorFlow's of 2015-12-05) do not ship: they are fetched from where
torch-fidelity has them, or lie in a file that `T2I_INCEPTION` names. The file is a pickle, so it is
opened only if its bytes are the published ones.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from t2i_course.contract import Features, T2IError, file_sha256, require

SHA256 = "6726825d"  # its first digits, from the published file's name
DIM = 2048
BATCH = 32
RESIZE = "to 299x299, bilinear as TensorFlow 1 does it, by torch-fidelity"


@dataclass(frozen=True)
class Inception:
    """The network and what is known of its weights.

    Attributes:
        sha256: of the weights' file.
        network: torch-fidelity's `FeatureExtractorInceptionV3`.
    """

    sha256: str
    network: Any = field(repr=False)

    @property
    def features(self) -> Features:
        """Images to the 2,048 pooled features, as FID takes them (Heusel et al. 2017)."""
        return Features(
            "inception-v3", self.sha256, DIM, lambda images: self.seen(images)[0], RESIZE
        )

    @torch.no_grad()
    def seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[B, 2048]` and logits without bias `[B, 1008]` of images `[B, 3, H, W]` in
        [0, 1], which are rounded to 8 bits as in a file (Salimans et al. 2016, section 4)."""
        pixels = (images * 255).round().clamp(0, 255).to(torch.uint8)
        found = [self.network(part) for part in pixels.split(BATCH)]
        features, logits = (torch.cat([one[i] for one in found]).float() for i in (0, 1))
        return features, logits


def load(file: Path | None = None) -> Inception:
    """Inception-v3 with the published weights.

    Args:
        file: the weights; by default what `T2I_INCEPTION` names, else torch's cache, else they are
            fetched.

    Raises:
        T2IError: if they cannot be had, or the file is another one.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import (
        URL_INCEPTION_V3,
        FeatureExtractorInceptionV3,
    )

    path = file or Path(os.environ.get("T2I_INCEPTION") or _cached(URL_INCEPTION_V3))
    if not path.is_file() and file is None and "T2I_INCEPTION" not in os.environ:
        _fetch(URL_INCEPTION_V3, path)
    require(path.is_file(), f"There are no Inception weights in {path}. {_how(URL_INCEPTION_V3)}")
    sha256 = file_sha256(path)
    require(
        sha256.startswith(SHA256),
        f"{path} is not the published file (its SHA-256 begins with {sha256[:8]}, not {SHA256}), "
        f"and a pickle of unknown origin is not opened. {_how(URL_INCEPTION_V3)}",
    )
    names = ["2048", "logits_unbiased"]
    return Inception(sha256, FeatureExtractorInceptionV3("inception-v3", names, str(path)))


def _cached(url: str) -> Path:
    """Where torch-fidelity's own download would put the file."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def _fetch(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=SHA256, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise T2IError(
            f"Inception's weights could not be fetched ({error}). {_how(url)}"
        ) from error


def _how(url: str) -> str:
    return f"On a machine with network get {url} and name it in T2I_INCEPTION."
