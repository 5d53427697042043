"""Three public diffusion libraries behind `contract.Family`, each with its own network, noise
schedule, loss, optimizer, EMA and sampler, as its own example for small images has them.

- diffusers: `UNet2DModel` with `DDPMScheduler`, after Hugging Face's class-conditioned example on
  28x28 digits (diffusion-models-class, unit 2); clip, warm-up and EMA, where a recipe asks for
  them, as in its `train_unconditional.py`; sampled with `DPMSolverMultistepScheduler`;
- denoising-diffusion-pytorch: `classifier_free_guidance.Unet` and its `GaussianDiffusion`, sizes
  of the README, optimizer and EMA of its `Trainer`, its DDIM sampler;
- smalldiffusion: `Unet` of `examples/fashion_mnist_unet.py` with `CondEmbedderLabel`, its sampler.

Every optimizer is fused and every EMA grouped where the library can, which changes no number.
"""

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from denoising_diffusion_pytorch import classifier_free_guidance as lucid
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from ema_pytorch import EMA as LucidEMA  # noqa: N811
from smalldiffusion import CondEmbedderLabel, Scaled, ScheduleLogLinear, Unet, samples
from smalldiffusion.diffusion import generate_train_sample
from torch import Tensor, nn

from t2i_course.contract import Condition, Family, RowGenerator, Settings, seed_of, seeded_init
from t2i_course.data.labelled import LabelledImages
from t2i_course.training.ema import EMA

CLASSES = 10
lucid.tqdm = lambda steps, **_: steps  # its sampler shows a bar a batch


@dataclass(frozen=True)
class Recipe(Settings):
    """How a peer is built, trained and sampled.

    Args:
        width, mults: channels of level i are `width * mults[i]`.
        blocks: residual blocks a level (of denoising-diffusion-pytorch always 2).
        attention: the sizes of image at which there is attention (where the library has a choice).
        batch_size, lr: of training.
        label_drop: share of training labels replaced by the null label.
        flip: mirror half of the training images, as the library's example does.
        clip: largest norm of the gradient, or None.
        schedule: of the learning rate: "constant", or "cosine" down to 0 over the budget.
        warmup: steps in which the learning rate rises.
        ema: largest decay of the running average; 0 for none.
        precision: "fp32" or "bf16" (autocast), of training and sampling.
        channels_last: the layout of the weights and images.
        steps, w: of sampling; w = 1 is plain conditional sampling.
    """

    width: int
    mults: tuple[int, ...]
    batch_size: int
    lr: float
    blocks: int = 2
    attention: tuple[int, ...] = (14, 7)
    label_drop: float = 0.0
    flip: bool = False
    clip: float | None = None
    schedule: str = "constant"
    warmup: int = 0
    ema: float = 0.0
    precision: str = "fp32"
    channels_last: bool = False
    steps: int = 50
    w: float = 1.0


class Peer(Family):
    """One library's model: built by `build`, trained by `Loop`, scored like our own families."""

    conditional: ClassVar[bool] = True
    settings_type: ClassVar[type[Settings]] = Recipe
    example: ClassVar[Recipe]
    image_shape = (1, 28, 28)
    settings: Recipe

    def __init__(self, settings: Recipe | None = None, seed: int = 0):
        super().__init__()
        self.settings, self.seed = settings or self.example, seed
        with seeded_init(seed):
            self.network = self.build(self.settings)
        if self.settings.channels_last:
            self.to(memory_format=torch.channels_last)

    @abstractmethod
    def build(self, s: Recipe) -> nn.Module: ...

    @abstractmethod
    def noise_loss(self, x_0: Tensor, labels: Tensor) -> Tensor:
        """The library's own loss of images `[B, 1, 28, 28]` in [-1, 1]; it draws its noise."""

    @abstractmethod
    def draw(self, labels: Tensor) -> Tensor:
        """The library's own sampler: images `[B, 1, 28, 28]` in about [-1, 1]."""

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer: ...

    @abstractmethod
    def average(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """The library's EMA as two functions: after each step, and at the end of training."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"unet": self.network}

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `contract.Family`; the library draws from torch's generator, not from `generator`."""
        assert condition.vector is not None
        if self.settings.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self.noise_loss(2 * images - 1, condition.vector.argmax(1)), {}

    @torch.no_grad()
    def sample(self, condition: Condition, generator: RowGenerator, settings: Any = None) -> Tensor:
        """See `contract.Family`."""
        assert condition.vector is not None
        torch.manual_seed(seed_of(*generator.key, generator.rows.start))
        with autocast(self.settings.precision):
            x = self.draw(condition.vector.argmax(1))
        return (x.float() / 2 + 0.5).clamp(0, 1)


class Diffusers(Peer):
    name: ClassVar[str] = "diffusers"
    example = Recipe(width=32, mults=(1, 2, 2), batch_size=128, lr=1e-3)

    def build(self, s: Recipe) -> nn.Module:
        self.scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
        # Thresholds x_0 as DDPMScheduler clips it: near t = 1 this schedule blows errors up.
        self.sampler = DPMSolverMultistepScheduler.from_config(
            self.scheduler.config, thresholding=True
        )
        kinds = ["Attn" if 28 >> i in s.attention else "" for i in range(len(s.mults))]
        return UNet2DModel(
            sample_size=28, in_channels=1, out_channels=1, layers_per_block=s.blocks,
            block_out_channels=tuple(s.width * m for m in s.mults),
            down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
            up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
            norm_num_groups=math.gcd(32, s.width), num_class_embeds=CLASSES + 1,
        )  # fmt: skip

    def noise_loss(self, x_0: Tensor, labels: Tensor) -> Tensor:
        labels = labels.masked_fill(torch.rand(len(labels)) < self.settings.label_drop, CLASSES)
        ε, t = torch.randn_like(x_0), torch.randint(0, 1000, (len(x_0),))
        x_t = self.scheduler.add_noise(x_0, ε, t)
        return F.mse_loss(self.network(x_t, t, labels).sample, ε)

    def draw(self, labels: Tensor) -> Tensor:
        # Guidance as in its class-conditional DiTPipeline: UNet2DModel leaves it to the caller.
        w, x = self.settings.w, torch.randn(len(labels), *self.image_shape)
        self.sampler.set_timesteps(self.settings.steps)
        for t in self.sampler.timesteps:
            ε = self.network(x, t, labels).sample.float()
            if w != 1:
                null = self.network(x, t, torch.full_like(labels, CLASSES)).sample.float()
                ε = null + w * (ε - null)
            x = self.sampler.step(ε, t, x).prev_sample
        return x

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.settings.lr, fused=True)

    def average(self) -> tuple[Callable[[], None], Callable[[], None]]:
        parameters = list(self.parameters())
        ema = EMAModel(
            parameters, decay=self.settings.ema, use_ema_warmup=True, power=0.75, foreach=True
        )
        return lambda: ema.step(parameters), lambda: ema.copy_to(parameters)


class DenoisingDiffusionPytorch(Peer):
    name: ClassVar[str] = "denoising-diffusion-pytorch"
    example = Recipe(
        width=64, mults=(1, 2, 4, 8), batch_size=64, lr=8e-5, label_drop=0.5, flip=True, clip=1.0,
        ema=0.995, steps=250, w=6.0,
    )  # fmt: skip

    def build(self, s: Recipe) -> nn.Module:
        # Each level but the last halves the image: four levels need 32x32, three do with 28x28.
        self.pad = 2 if len(s.mults) > 3 else 0
        unet = lucid.Unet(
            s.width, CLASSES, cond_drop_prob=s.label_drop, dim_mults=s.mults, channels=1
        )
        return lucid.GaussianDiffusion(
            unet, image_size=28 + 2 * self.pad, timesteps=1000, sampling_timesteps=s.steps
        )

    def noise_loss(self, x_0: Tensor, labels: Tensor) -> Tensor:
        images = F.pad(x_0, (self.pad,) * 4, value=-1.0) / 2 + 0.5  # it takes [0, 1] as we do
        return self.network(images, classes=labels)

    def draw(self, labels: Tensor) -> Tensor:
        self.network.sampling_timesteps = self.settings.steps
        # A scale of exactly 1 fails inside the library, which then expects two values of one.
        images = self.network.sample(labels, cond_scale=self.settings.w + 1e-6)
        return 2 * F.pad(images, (-self.pad,) * 4) - 1

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.settings.lr, (0.9, 0.99), fused=True)

    def average(self) -> tuple[Callable[[], None], Callable[[], None]]:
        ema = LucidEMA(self.network, beta=self.settings.ema, update_every=10, use_foreach=True)
        return ema.update, lambda: ema.copy_params_from_ema_to_model()


class SmallDiffusion(Peer):
    name: ClassVar[str] = "smalldiffusion"
    # Its example's batch of 1,024 takes 16 GB here.
    example = Recipe(
        width=64, mults=(1, 1, 2), batch_size=128, lr=7e-4, attention=(14,), label_drop=0.1,
        flip=True, ema=0.999, steps=20,
    )  # fmt: skip

    def build(self, s: Recipe) -> nn.Module:
        self.schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
        label = CondEmbedderLabel(4 * s.width, CLASSES, s.label_drop)
        return Scaled(Unet)(
            28, 1, 1, ch=s.width, ch_mult=s.mults, num_res_blocks=s.blocks,
            attn_resolutions=s.attention, cond_embed=label,
        )  # fmt: skip

    def noise_loss(self, x_0: Tensor, labels: Tensor) -> Tensor:
        x_0, sigma, ε, labels = generate_train_sample((x_0, labels), self.schedule, True)
        return self.network.get_loss(x_0, sigma, ε, cond=labels)

    def draw(self, labels: Tensor) -> Tensor:
        sigmas = self.schedule.sample_sigmas(self.settings.steps)
        here = SimpleNamespace(device=self.device)  # all that it asks of its Accelerator
        states = samples(
            self.network, sigmas, gam=1.6, cfg_scale=self.settings.w - 1, batchsize=len(labels),
            cond=labels, accelerator=here,
        )  # fmt: skip
        *_, x = states
        return x

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), self.settings.lr, fused=True)

    def average(self) -> tuple[Callable[[], None], Callable[[], None]]:
        # Its example takes torch_ema's, whose decay ramps up by the same formula as ours.
        ema, step = EMA(self.network, self.settings.ema), iter(range(1, 2**62))
        return lambda: ema.update(next(step)), lambda: self.network.load_state_dict(ema.shadow)


PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (Diffusers, DenoisingDiffusionPytorch, SmallDiffusion)
}


def autocast(precision: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


class Loop:
    """The plainest fast training loop: the whole set as one tensor, no logging."""

    def __init__(self, peer: Peer, data: LabelledImages, seed: int = 0):
        self.peer, self.data, s = peer.train(), data, peer.settings
        self.optimizer = peer.optimizer()
        self.update, self.finish = peer.average() if s.ema else (lambda: None, lambda: None)
        self.generator = torch.Generator().manual_seed(seed_of(seed, "order"))
        self.order: list[Tensor] = []
        self.steps = 0
        torch.manual_seed(seed_of(seed, "train"))

    def step(self, share: float = 0.0) -> None:
        """One whole update; `share` of the budget, in [0, 1], is already spent."""
        s = self.peer.settings
        if not self.order:
            order = torch.randperm(len(self.data), generator=self.generator)
            self.order = list(order.split(s.batch_size))
        index = self.order.pop()
        images, condition = self.data.pixels(index), self.data.condition(self.data.labels[index])
        if s.flip:
            images = torch.where(torch.rand(len(index), 1, 1, 1) < 0.5, images.flip(3), images)
        fall = 0.5 * (1 + math.cos(math.pi * share)) if s.schedule == "cosine" else 1.0
        self.optimizer.param_groups[0]["lr"] = (
            s.lr * fall * min(1, (self.steps + 1) / (s.warmup + 1))
        )
        with autocast(s.precision):
            loss, _ = self.peer.loss("unet", images, condition, RowGenerator(rows=len(index)))
        loss.backward()
        if s.clip is not None:
            nn.utils.clip_grad_norm_(self.peer.parameters(), s.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update()
        self.steps += 1


def train(peer: Peer, data: LabelledImages, minutes: float, seed: int = 0) -> int:
    """Train for so many CPU minutes (process time over all threads); the number of steps."""
    start, budget = time.process_time(), 60 * minutes
    loop = Loop(peer, data, seed)
    while (spent := time.process_time() - start) < budget:
        loop.step(spent / budget)
    loop.finish()
    peer.eval()
    return loop.steps
