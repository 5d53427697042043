"""The diffusion family: a U-Net that learned to say what is noise in x_t, and a walk from noise.

Everything that is not the network stands in `t2i_course.diffusion`; here it is put together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from t2i_course.contract import (
    Condition,
    Family,
    RowGenerator,
    Settings,
    require,
    seeded_init,
    unknown,
)
from t2i_course.diffusion import schedules
from t2i_course.diffusion.guidance import autoguided, classifier_free
from t2i_course.diffusion.objectives import (
    DRAWS,
    KINDS,
    WEIGHTS,
    Denoise,
    denoiser,
    draw_times,
    target,
    weight,
)
from t2i_course.diffusion.samplers import SAMPLERS, VARIANCES, Watch, clipped
from t2i_course.models.unet import UNet

GUIDES = ("null", "weak")
WEAK_EVERY = 4  # the weak network learns from every fourth row: it is to be weak, and cheap
ROWS = 128  # rows that the network sees at once in sampling: what a processor's cache holds


@dataclass(frozen=True)
class DiffusionSettings(Settings):
    """The network's sizes and what it is trained to say.

    Args:
        image_shape: (C, H, W), H and W multiples of patch · 2^(levels − 1).
        condition_dim: size D of the condition's vector; 10 for a one-hot label.
        token_dim: size D_tok of the condition's tokens, read by cross-attention; 0 for none.
        widths, blocks, patch, attention: see `UNet`.
        path: "flow" (Liu et al. 2023), "linear" (Ho et al. 2020) or "cosine" (Nichol and Dhariwal
            2021).
        T: the number of times of a discrete path; the flow has none.
        predicts: "velocity", "noise", or "data" (x_0 in [-1, 1]).
        weights: see `objectives.weight`; "velocity" with predicts="data" is Li and He 2025.
        times: how training times are drawn, "logit-normal" or "uniform".
        shift: how far a flow's times are moved towards noise, in training and in sampling, see
            `schedules.shifted`.
        drop: probability of hiding a training image's condition, so that the model learns to draw
            without one, as guidance needs (Ho and Salimans 2022).
        weak: the widths of a second, weaker U-Net, which autoguidance needs; () for none.
    """

    image_shape: tuple[int, int, int] = (1, 28, 28)
    condition_dim: int = 10
    token_dim: int = 0
    widths: tuple[int, ...] = (64, 128)
    blocks: int = 1
    patch: int = 2
    attention: bool = True
    path: str = "flow"
    T: int = 1000
    predicts: str = "data"
    weights: str = "velocity"
    times: str = "logit-normal"
    shift: float = 1.0
    drop: float = 0.1
    weak: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _, H, W = self.image_shape
        require(
            len(self.widths) >= 1 and all(1 <= width <= 4096 for width in self.widths + self.weak),
            f"widths must be one or more numbers of channels up to 4096, not {self.widths}, and "
            f"weak must be such numbers or none, not {self.weak}.",
        )
        require(
            len(self.weak) in (0, len(self.widths)),
            f"weak needs as many widths as the network, {len(self.widths)}, not {self.weak}.",
        )
        for name in ("condition_dim", "blocks", "patch"):
            value = getattr(self, name)
            require(1 <= value <= 10_000, f"{name} must be from 1 to 10,000, not {value}.")
        side = self.patch * 2 ** (len(self.widths) - 1)
        require(
            min(self.image_shape) >= 1 and H % side == 0 and W % side == 0,
            f"H and W must be multiples of {side} for {len(self.widths)} widths and patches of "
            f"{self.patch}, not {H} and {W}.",
        )
        require(0 <= self.drop <= 1, f"drop must be in [0, 1], not {self.drop}.")
        require(self.shift > 0, f"shift must be above 0, not {self.shift}.")
        discrete = schedules.path(self.path, self.T).T
        require(
            self.shift == 1 or not discrete,
            f"shift moves a flow's times; the {self.path} path has T = {self.T} fixed ones.",
        )
        for what, value, known in (
            ("prediction", self.predicts, KINDS),
            ("weighting", self.weights, WEIGHTS),
            ("draw of times", self.times, DRAWS),
        ):
            if value not in known:
                raise unknown(what, value, known)


@dataclass(frozen=True)
class SampleSettings(Settings):
    """How images are drawn.

    Args:
        sampler: a name in `SAMPLERS`.
        steps: of the sampler; Heun's S steps call the network 2 S − 1 times, the others S times.
        w: the guidance weight; 1 is plain conditional sampling.
        guide: what guidance leads away from: "null", the prediction without the condition
            (classifier-free guidance), or "weak", the weak network's (autoguidance).
        interval: (from, to): the times between which w holds; 1 elsewhere (Kynkäänniemi et al.
            2024: guidance helps in the middle and costs variety near t = 1).
        eta: of "ddim".
        variance: of "ddpm", "posterior" or "beta".
        clip: whether each predicted x_0 is clamped to [-1, 1].
        precision: of the network, "fp32" or "bf16".
    """

    sampler: str = "dpm-solver-2m"
    steps: int = 10
    w: float = 1.0
    guide: str = "null"
    interval: tuple[float, float] = (0.0, 1.0)
    eta: float = 0.0
    variance: str = "posterior"
    clip: bool = False
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("sampler", self.sampler, SAMPLERS),
            ("guide", self.guide, GUIDES),
            ("variance", self.variance, VARIANCES),
            ("precision", self.precision, ("fp32", "bf16")),
        ):
            if value not in known:
                raise unknown(what, value, known)
        require(1 <= self.steps <= 100_000, f"steps must be at least 1, not {self.steps}.")
        require(self.w >= 0, f"The guidance weight w must be at least 0, not {self.w}.")
        low, high = self.interval
        require(0 <= low <= high <= 1, f"interval must lie in [0, 1], not {self.interval}.")


class Diffusion(Family):
    """x_t = a_t x_0 + s_t ε, and a network trained to tell x_0 from ε (Ho et al. 2020).

    By default a rectified flow whose network predicts x_0, the error weighed as one in v. With
    path="linear", predicts="noise", weights="none" and times="uniform" it is the denoising
    diffusion probabilistic model.
    """

    name: ClassVar[str] = "diffusion"
    settings_type: ClassVar[type[Settings]] = DiffusionSettings
    sampling_type: ClassVar[type[Settings]] = SampleSettings
    conditional = True
    settings: DiffusionSettings

    def __init__(self, settings: DiffusionSettings | None = None, seed: int = 0):
        super().__init__()
        self.settings = s = settings or DiffusionSettings()
        self.image_shape, self.seed = s.image_shape, seed
        self.path = schedules.path(s.path, s.T)
        with seeded_init(seed):
            self.unet = self._unet(s.widths)
            if s.weak:
                self.weak = self._unet(s.weak)

    def _unet(self, widths: tuple[int, ...]) -> UNet:
        s = self.settings
        return UNet(
            s.image_shape, s.condition_dim, widths, s.blocks, s.patch, s.attention, s.token_dim
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        names = ("unet", "weak") if self.settings.weak else ("unet",)
        return {name: getattr(self, name) for name in names}

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over the pixels of the squared error (Ho et al. 2020, eq. 14), weighted.

        A prediction of data beyond a black or a white pixel is no error: `predict` clamps it. The
        best answer is still the mean of x_0; but where that is black it need not be hit exactly (a
        censored regression: Tobin 1958).
        """
        s, device = self.settings, images.device
        require(
            tuple(images.shape[1:]) == tuple(s.image_shape),
            f"This model takes images [B, {', '.join(map(str, s.image_shape))}]; it was given "
            f"{list(images.shape)}.",
        )
        condition = condition.drop(generator.uniform().to(device) < s.drop)
        t = schedules.shifted(draw_times(s.times, self.path, generator), s.shift).to(device)
        eps = generator.normal(*s.image_shape).to(images)
        x_0 = 2 * images - 1
        if name == "weak":
            x_0, t, eps = x_0[::WEAK_EVERY], t[::WEAK_EVERY], eps[::WEAK_EVERY]
            condition = condition[::WEAK_EVERY]
        x_t = schedules.q_sample(self.path, x_0, t, eps)
        out = self.networks[name](x_t, t, condition).to(eps.dtype)
        error = out - target(s.predicts, self.path, t, x_0, eps)
        if s.predicts == "data":
            error = error.masked_fill((x_0.abs() >= 1) & (out * x_0 > 1), 0)
        weights = weight(s.weights, s.predicts, self.path, t).to(error.dtype)
        return (weights * error.square().flatten(1).mean(dim=1)).mean(), {}

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition, name: str = "unet") -> Tensor:
        """What a network says of x_t `[B, C, H, W]` at t `[B]`: noise, data or velocity."""
        out = self.networks[name](x_t, t, condition)
        return out.clamp(-1, 1) if self.settings.predicts == "data" else out

    def denoiser(self, condition: Condition, settings: SampleSettings | None = None) -> Denoise:
        """(x_t, t) to the (x_0, ε) that the model expects for these conditions, guided.

        x_t `[B, C, H, W]`, x_0 in [-1, 1]; what samplers and `inpainting.repaint` take.
        """
        s = settings or SampleSettings()
        low, high = s.interval
        network = self._network("unet", s.precision)
        plain = classifier_free(network, condition, 1.0)
        if s.guide == "null":
            guided = classifier_free(network, condition, s.w)
        else:
            require(
                "weak" in self.networks,
                'This model has no weak network to be guided by: sample with guide="null", or '
                "train it with weak=(16, 32).",
            )
            guided = autoguided(network, self._network("weak", s.precision), condition, s.w)

        def steered(x_t: Tensor, t: Tensor) -> Tensor:
            inside = low <= t.max() <= high  # one time for the whole batch in every sampler
            return (guided if inside else plain)(x_t, t)

        denoise = denoiser(self.settings.predicts, self.path, steered)
        return clipped(denoise, self.path) if s.clip else denoise

    def _network(self, name: str, precision: str) -> Callable[[Tensor, Tensor, Condition], Tensor]:
        def network(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
            parts = []
            with torch.autocast(x_t.device.type, torch.bfloat16, enabled=precision == "bf16"):
                for rows in torch.arange(len(x_t)).split(ROWS):
                    part = slice(int(rows[0]), int(rows[-1]) + 1)
                    parts.append(self.predict(x_t[part], t[part], condition[part], name))
            return torch.cat(parts).to(x_t.dtype)

        return network

    @torch.no_grad()
    def sample(
        self,
        condition: Condition,
        generator: RowGenerator,
        settings: SampleSettings | None = None,
        watch: Watch | None = None,
    ) -> Tensor:
        """See `Family.sample`; `watch` sees the walk, see `samplers`."""
        s = settings or SampleSettings()
        own: dict[str, Any] = {"eta": s.eta} if s.sampler == "ddim" else {}
        own |= {"variance": s.variance} if s.sampler == "ddpm" else {}
        x = generator.normal(*self.image_shape).to(self.device)
        t = schedules.shifted(schedules.times(self.path, s.steps), self.settings.shift)
        x_0 = SAMPLERS[s.sampler](
            self.denoiser(condition.to(self.device), s), x, t, self.path, generator, watch=watch,
            **own,
        )  # fmt: skip
        return (x_0.clamp(-1, 1) + 1) / 2
