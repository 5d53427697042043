"""The second paper's long-text CVAE: its tables 1 and 2, and the variants that its text names.

Images `[B, C, H, W]` of any size that is a multiple of 32, and a text's embedding c `[B, D]`. The
loss, the latent and the drawing of images are `CVAE`'s; here are the networks.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.contract import Condition, RowGenerator, Settings, require, unknown
from t2i_course.models.unet import Attention
from t2i_course.models.vae import CVAE, CVAESettings

WIDTHS = (32, 64, 128, 256, 512)  # of Conv1 to Conv5; each halves the size
FUSIONS = ("concat", "add")
ADD_AFTER = 3  # "add" adds after Conv3; attention, too, is at that resolution, an eighth


@dataclass(frozen=True)
class TextCVAESettings(CVAESettings):
    """As `CVAESettings`, with the long-text model's sizes as defaults, and:

    Args:
        image_shape: (C, H, W), H and W multiples of 32.
        hidden: outputs of the decoder's first linear layer.
        fusion: how the encoder joins the text with the image: "concat", as D constant maps beside
            the image's channels; or "add", after the first few convolutions, which is read here as:
            a linear layer makes c as wide as Conv3's output, to which it is added at every place.
        depth: convolutions at each of the encoder's five sizes, 1 in the tables. Those after the
            first keep the size. The paper says "deeper encoder networks" and no more.
        attention: self-attention over the places at an eighth of the size, after Conv3 and Deconv2.
            The paper says "attention layers" and no more.
    """

    image_shape: tuple[int, int, int] = (3, 224, 224)
    latent_dim: int = 128
    hidden: int = 1024
    condition_dim: int = 512
    fusion: str = "concat"
    depth: int = 1
    attention: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _, H, W = self.image_shape
        require(H % 32 == 0 and W % 32 == 0, f"H and W must be multiples of 32, not {H} and {W}.")
        if self.fusion not in FUSIONS:
            raise unknown("fusion", self.fusion, FUSIONS)
        require(1 <= self.depth <= 10, f"depth must be from 1 to 10, not {self.depth}.")


class ConcatConv2d(nn.Conv2d):
    """`nn.Conv2d(C + D, outputs, 3, stride=2, padding=1)` of an image and D constant maps.

    Images `[B, C, H, W]`, H and W even, and c `[B, D]` to `[B, outputs, H / 2, W / 2]`: what the
    convolution gives for c repeated at each pixel and concatenated to the image, without that
    tensor. The convolution is linear, so that the maps' part is a sum of its own; and a constant
    map looks the same from every place but those where the kernel reaches into the padding: with
    stride 2 the first row and the first column. So the maps' part has four values a channel, which
    a map of 4x4 pixels shows already.

    At B = 16, C = 3, D = 512, H = W = 224, with LeakyReLU, forward and backward in float32 on one
    CPU thread: 0.1 GiB and 0.05 s; with the tensor 3.2 GiB and 5 s (6.2 GiB and 9 s where c needs a
    gradient too, as with a learned null).
    """

    def __init__(self, C: int, D: int, outputs: int):
        super().__init__(C + D, outputs, 3, stride=2, padding=1)
        self.C = C

    def forward(self, images: Tensor, c: Tensor) -> Tensor:  # type: ignore[override]
        of_image, of_c = self.weight.split([self.C, self.in_channels - self.C], dim=1)
        y = F.conv2d(images, of_image, self.bias, stride=2, padding=1)
        H, W = y.shape[2:]
        maps = c[:, :, None, None].expand(-1, -1, 4, 4)
        values = F.conv2d(maps, of_c, stride=2, padding=1)  # [B, outputs, 2, 2]: edge, inside
        rows = torch.cat([values[:, :, :1], values[:, :, 1:].expand(-1, -1, H - 1, -1)], dim=2)
        return y + torch.cat([rows[..., :1], rows[..., 1:].expand(-1, -1, -1, W - 1)], dim=3)


class Block(nn.Sequential):
    """Layers one after another; the first of them may take more than one input."""

    def forward(self, *inputs: Tensor) -> Tensor:
        first, *rest = self
        x = first(*inputs)
        for layer in rest:
            x = layer(x)
        return x


class Convolutions(nn.Module):
    """Table 1 without its two last lines: images and c `[B, D]` to `[B, 512 · H/32 · W/32]`."""

    conv1: Block

    def __init__(self, s: TextCVAESettings):
        super().__init__()
        widths = (s.image_shape[0], *WIDTHS)
        for i, (inputs, outputs) in enumerate(pairwise(widths), 1):
            layers: list[nn.Module] = [
                ConcatConv2d(inputs, s.condition_dim, outputs)
                if i == 1 and s.fusion == "concat"
                else nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
                nn.LeakyReLU(),
            ]
            for _ in range(s.depth - 1):
                layers += [nn.Conv2d(outputs, outputs, 3, padding=1), nn.LeakyReLU()]
            setattr(self, f"conv{i}", Block(*layers))
        place = WIDTHS[ADD_AFTER - 1]
        self.text = nn.Linear(s.condition_dim, place) if s.fusion == "add" else None
        self.attention = Attention(place) if s.attention else None
        self.flatten = nn.Flatten()

    def forward(self, images: Tensor, c: Tensor) -> Tensor:
        x = self.conv1(images) if self.text else self.conv1(images, c)
        for i in range(2, len(WIDTHS) + 1):
            x = getattr(self, f"conv{i}")(x)
            if i == ADD_AFTER:
                x = x + self.text(c)[:, :, None, None] if self.text else x
                x = self.attention(x) if self.attention else x
        return self.flatten(x)


class Heads(nn.Module):
    """Table 1's two last lines: `[B, inputs]` to μ and log σ² side by side."""

    def __init__(self, inputs: int, latent_dim: int):
        super().__init__()
        self.mu, self.logvar = nn.Linear(inputs, latent_dim), nn.Linear(inputs, latent_dim)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.mu(x), self.logvar(x)], dim=1)


def deconvolutions(s: TextCVAESettings) -> nn.Sequential:
    """Table 2: z and c side by side `[B, latent_dim + D]` to logits `[B, C·H·W]`.

    Kernel 3, stride 2 and padding 1 alone take 7 to 13; `output_padding=1` takes it to the table's
    14, and is our reading. The last line's sigmoid is `likelihood.mean`, which `decode` applies:
    the cross-entropy is computed from the logits.
    """
    C, H, W = s.image_shape
    small = (WIDTHS[-1], H // 32, W // 32)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        fc1=Block(nn.Linear(s.latent_dim + s.condition_dim, s.hidden), nn.LeakyReLU()),
        fc2=Block(nn.Linear(s.hidden, small[0] * small[1] * small[2]), nn.LeakyReLU()),
        reshape=nn.Unflatten(1, small),
    )
    for i, (inputs, outputs) in enumerate(pairwise((*WIDTHS[::-1], C)), 1):
        last: list[nn.Module] = [] if i == len(WIDTHS) else [nn.LeakyReLU()]
        layers[f"deconv{i}"] = Block(
            nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1), *last
        )
        if s.attention and i == len(WIDTHS) - ADD_AFTER:
            layers["attention"] = Attention(outputs)
    layers["logits"] = nn.Flatten()
    return nn.Sequential(layers)


class TextCVAE(CVAE):
    """p(x | c) for an image x and a text's embedding c: the second paper, sections 3.1 and 4.2.

    The encoder sees c as `fusion` says, the decoder beside z. The paper trains with the summed
    cross-entropy plus KL, Adam at 1e-4, 64 images a batch.
    """

    name: ClassVar[str] = "text-cvae"
    settings_type: ClassVar[type[Settings]] = TextCVAESettings
    settings: TextCVAESettings
    stem: Convolutions

    def __init__(self, settings: TextCVAESettings | None = None, seed: int = 0):
        super().__init__(settings or TextCVAESettings(), seed)

    def _networks(self, D: int) -> tuple[nn.Module, nn.Module, nn.Module]:
        s = self.settings
        _, H, W = s.image_shape
        features = WIDTHS[-1] * (H // 32) * (W // 32)
        return Convolutions(s), Heads(features, s.latent_dim), deconvolutions(s)

    def _posterior(self, images: Tensor, condition: Condition) -> Tensor:
        return self.encoder(self.stem(images, self._vector(condition)))


@torch.no_grad()
def structure(model: TextCVAE) -> list[tuple[str, str, str, str]]:
    """The model's layers as the paper's tables have them: layer, input, output, operation.

    Recorded while one image goes through, so that the table is of the model and not of its plan.
    """
    rows: list[tuple[str, str, str, str]] = []

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            parts = [_sizes(part) for part in inputs]
            layers = list(module) if isinstance(module, nn.Sequential) else [module]
            joined = layers[0]
            if isinstance(joined, ConcatConv2d):
                whole = f"{joined.in_channels} x " + " x ".join(map(str, inputs[0].shape[2:]))
                rows.append(("input", " + ".join(parts), whole, "concatenation"))
                parts = [whole]
            what = " + ".join(type(layer).__name__ for layer in layers)
            rows.append((name, parts[0], _sizes(output), what))

        return record

    hooks = [
        layer.register_forward_hook(recorder(name))
        for network in (model.stem, model.encoder, model.decoder)
        for name, layer in network.named_children()
    ]
    try:
        condition = Condition.of(torch.zeros(1, model.settings.condition_dim)).to(model.device)
        images = torch.zeros(1, *model.image_shape, device=model.device)
        model.loss(model.name, images, condition, RowGenerator(rows=1))
    finally:
        for hook in hooks:
            hook.remove()
    return rows


def _sizes(x: Any) -> str:
    return " x ".join(map(str, x.shape[1:]))
