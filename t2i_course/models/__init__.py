"""The networks and families, and the closed table by which a checkpoint names them."""

from collections.abc import Mapping
from typing import Any

from t2i_course.contract import Trainable, unknown
from t2i_course.models.contrastive import TinyClip
from t2i_course.models.conv_vae import ConvCVAE
from t2i_course.models.diffusion import Diffusion
from t2i_course.models.gan import GAN
from t2i_course.models.judges import Classifier
from t2i_course.models.prior import Prior
from t2i_course.models.scene_reader import SceneReader
from t2i_course.models.text_cvae import TextCVAE
from t2i_course.models.vae import CVAE, VAE, Autoencoder

FAMILIES: dict[str, type[Trainable]] = {
    family.name: family
    for family in (
        Autoencoder, VAE, CVAE, ConvCVAE, TextCVAE, GAN, Diffusion,
        Classifier, TinyClip, SceneReader, Prior,
    )
}  # fmt: skip


def build(name: str, settings: Mapping[str, Any], seed: int = 0) -> Trainable:
    """A family with fresh weights drawn from `seed`, by its name in `FAMILIES` and its settings
    as JSON values.

    Raises:
        T2IError: for an unknown family or setting.
    """
    if name not in FAMILIES:
        raise unknown("family", name, FAMILIES)
    family = FAMILIES[name]
    return family(family.settings_type.from_dict(settings), seed)
