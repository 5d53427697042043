"""A trained reader of drawn shapes: the second opinion beside the exact one (`data/reader.py`).

Things are found as points (Zhou et al. 2019, *Objects as Points*): on a grid of 8x8 cells a map is
high at the centre of each thing, and the cells there say its kind, its colour, how far the centre
is from the cell's own, and its extent. A thing inside another one shares its centre almost exactly,
so there are two such maps, one for small things and one for large: two of a size never lie that
close. One more number says whether the picture shows anything else.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.contract import (
    Condition,
    RowGenerator,
    Settings,
    Trainable,
    require,
    seeded_init,
    tensors_sha256,
)
from t2i_course.data.scenes import COLOUR_NAMES, MOST, PART, SIDE
from t2i_course.data.shapes import KINDS, UNITS, Scene, Thing
from t2i_course.data.spoiling import damaged, spoiled
from t2i_course.models.unet import Conv, norm_relu

GRID = 8  # cells along a side
CELL = UNITS // GRID  # in units
SLOTS = 2  # small, large
LARGE = 40  # half-extent from which on a thing is in the second slot
SPREAD = 0.6  # σ of the map's peaks, in cells: between two cells both are high, and agree
FIELDS = (1, len(KINDS), len(COLOUR_NAMES), 2, 1)  # map, kind, colour, offset, extent
FAINT = 0.1  # the map below which there is no thing
CHUNK = 64  # images looked at together


@dataclass(frozen=True)
class SceneReaderSettings(Settings):
    """Sizes of `SceneReader`, and what it learns to see through.

    Args:
        widths: channels at 16x16 and at 8x8 places.
        blocks: residual blocks at 8x8 places (at 16x16 there is one).
        sure: the confidence below which it gives no answer.
        noise, tint: the most noise (σ) and change of a channel's gain and offset, both of the
            picture's range [0, 1], that a picture gets in training; half of them get none.
        damaged: the share of pictures in training that are damaged till they show no scene.
    """

    widths: tuple[int, int] = (32, 96)
    blocks: int = 2
    sure: float = 0.6
    noise: float = 0.06
    tint: float = 0.05
    damaged: float = 0.15

    def __post_init__(self) -> None:
        require(min(self.widths) >= 1, f"widths must be at least 1, not {self.widths}.")
        require(self.blocks >= 1, f"blocks must be at least 1, not {self.blocks}.")
        for name in ("sure", "noise", "tint", "damaged"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} must be from 0 to 1, not {value}.")


class Residual(nn.Module):
    """x + f(x), two convolutions (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = Conv(width, width)
        self.conv2 = Conv(width, width, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(norm_relu(self.conv1(norm_relu(x))))


class SceneReader(Trainable):
    """Pictures in, scenes out; `read` is what it is for."""

    name: ClassVar[str] = "scene-reader"
    settings_type: ClassVar[type[Settings]] = SceneReaderSettings
    settings: SceneReaderSettings

    def __init__(self, settings: SceneReaderSettings | None = None, seed: int = 0):
        super().__init__()
        self.settings = s = settings or SceneReaderSettings()
        self.seed = seed
        first, second = s.widths
        with seeded_init(seed):
            self.body = nn.Sequential(
                Conv(12, first),
                Residual(first),
                Conv(first, second, stride=2),
                *(Residual(second) for _ in range(s.blocks)),
            )
            self.head = nn.Conv2d(second, SLOTS * sum(FIELDS), 1)
            strange = nn.Conv2d(second, 1, 1)
            self.doubt = nn.Sequential(Residual(second), strange)
        with torch.no_grad():  # most cells are empty (Lin et al. 2017, section 3.3)
            assert self.head.bias is not None and strange.bias is not None
            self.head.bias[:: sum(FIELDS)] = -3.0
            strange.bias.fill_(-6.0)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"reader": self}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images `[B, 3, S, S]`, S 32 or 64 (which is averaged down), to what each cell says of a
        thing of either size: logits of the map `[B, 2, 1, 8, 8]`, of the kind `[B, 2, 6, 8, 8]`, of
        the colour `[B, 2, 8, 8, 8]`; offset (x, y) `[B, 2, 2, 8, 8]` and extent `[B, 2, 1, 8, 8]`,
        both in cells; and the logit `[B]` of there being something that is no thing of ours: the
        log-sum-exp of what the cells say of that."""
        require(
            images.ndim == 4 and images.shape[1:] in [(3, side, side) for side in (SIDE, 2 * SIDE)],
            f"The reader takes images [B, 3, S, S] with S 32 or 64, not {list(images.shape)}.",
        )
        if images.shape[-1] == 2 * SIDE:
            images = F.avg_pool2d(images, 2)
        x = F.pixel_unshuffle(2 * images - 1, 2).contiguous(memory_format=torch.channels_last)
        x = self.body(x)
        said = self.head(norm_relu(x)).float()
        # What reads things is not bent by what doubts them: at once, a thing inside another one
        # was not learned in the time that there is.
        strange = self.doubt(x.detach()).float().flatten(1).logsumexp(1)
        return *said.unflatten(1, (SLOTS, sum(FIELDS))).split(FIELDS, dim=2), strange

    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """How far the map and what the cells say are from the condition's scenes (`scenes.encode`).

        The map's error is the Kullback-Leibler divergence, summed over cells; kind and colour by
        cross-entropy and the rest by Huber's loss count in each cell as much as the map is high.
        Some pictures are damaged (`spoiling.damaged`), and it has to tell these from the others
        only.
        """
        assert condition.vector is not None
        want = targets(condition.vector)
        with torch.autocast(images.device.type, enabled=False):
            broken = generator.uniform().to(images.device) < self.settings.damaged
            worse = damaged(images, condition.vector, generator)
            seen = torch.where(broken[:, None, None, None], worse, images)
            seen = spoiled(seen, generator, self.settings.noise, self.settings.tint)
        whole = (~broken).float()[:, None, None, None]
        said = self(seen)
        heat, kind, colour, offset, extent, strange = said
        weight = want.heat * whole
        entropy = -(torch.xlogy(weight, weight) + torch.xlogy(1 - weight, 1 - weight))
        peaks = F.binary_cross_entropy_with_logits(heat[:, :, 0], weight, reduction="none")
        kinds = F.cross_entropy(kind.flatten(0, 1), want.kind.flatten(0, 1), reduction="none")
        colours = F.cross_entropy(colour.flatten(0, 1), want.colour.flatten(0, 1), reduction="none")
        off = F.huber_loss(offset, want.offset, reduction="none", delta=0.1).sum(2)
        far = F.huber_loss(extent[:, :, 0], want.extent, reduction="none", delta=0.1)
        B = len(images)
        parts = {
            "map": (whole * (peaks - entropy)).sum() / B,
            "kind": (weight.flatten(0, 1) * kinds).sum() / B,
            "colour": (weight.flatten(0, 1) * colours).sum() / B,
            "place": 30 * (weight * (off + far)).sum() / B,
            "strange": 2 * F.binary_cross_entropy_with_logits(strange, broken.float()),
        }
        return torch.stack([*parts.values()]).sum(), parts

    @torch.no_grad()
    def read(self, images: Tensor) -> list[Scene | None]:
        """The scene that each image `[B, 3, S, S]` in [0, 1] shows, S 32 or 64; None where it finds
        none, or is not sure of some thing.

        A later thing may lie inside an earlier one, as in a drawn scene. A confidence is the least
        of four: the map against what it would be at that distance from a centre, the probabilities
        of kind and colour, and that of the whole picture being of our things.
        """
        found: list[Scene | None] = []
        for chunk in images.split(CHUNK):
            found += self._read(chunk.to(self.device).float())
        return found

    def _read(self, images: Tensor) -> list[Scene | None]:
        logits, kind, colour, offset, extent, strange = self(images)
        heat = logits[:, :, 0].sigmoid()
        # A ramp too low to matter, for two cells may be equally near to a centre.
        order = heat + 1e-6 * torch.arange(GRID**2, device=heat.device).view(GRID, GRID)
        peak = (order == F.max_pool2d(order, 3, stride=1, padding=1)) & (heat > FAINT)
        likely = torch.exp(-offset.square().sum(2) / (2 * SPREAD**2))  # [B, 2, 8, 8]
        kinds, colours = kind.softmax(2).max(2), colour.softmax(2).max(2)
        sure = torch.minimum(heat / likely, torch.minimum(kinds.values, colours.values))
        sure = torch.minimum(sure, (-strange).sigmoid()[:, None, None, None])
        sure = sure.masked_fill(extent[:, :, 0] <= 0, 0)
        middles = CELL * (torch.arange(GRID, device=heat.device) + 0.5)
        x = middles + CELL * offset[:, :, 0]
        y = middles[:, None] + CELL * offset[:, :, 1]
        things: list[list[Thing]] = [[] for _ in images]
        doubtful = (peak & (sure < self.settings.sure)).flatten(1).any(1).tolist()
        places = peak.nonzero(as_tuple=True)
        numbers = [kinds.indices[places], colours.indices[places]]
        numbers += [value[places].round().long() for value in (x, y, CELL * extent[:, :, 0])]
        for b, *(k, c, at_x, at_y, size) in zip(
            places[0].tolist(), *(n.tolist() for n in numbers), strict=True
        ):
            things[b].append(Thing(KINDS[k], COLOUR_NAMES[c], at_x, at_y, size))
        return [
            Scene(tuple(sorted(each, key=lambda thing: -thing.extent)))
            if each and not doubt
            else None
            for each, doubt in zip(things, doubtful, strict=True)
        ]

    @property
    def sha256(self) -> str:
        """Of the weights, so that two scores are compared only if they mean the same."""
        return tensors_sha256(self.state_dict())


@dataclass(frozen=True)
class Targets:
    """What each cell is to say of a thing of either size; where the map is low it hardly counts.

    Args:
        heat: `[B, 2, 8, 8]`, exp(-d² / 2σ²) at d cells from the nearest centre, 0 without a thing.
        kind, colour: int64 `[B, 2, 8, 8]`, of the nearest thing.
        offset: `[B, 2, 2, 8, 8]`, from the cell's middle to that thing's centre (x, y), in cells.
        extent: `[B, 2, 8, 8]`, its half-extent in cells.
    """

    heat: Tensor
    kind: Tensor
    colour: Tensor
    offset: Tensor
    extent: Tensor


def targets(vectors: Tensor) -> Targets:
    """The targets of scenes `[B, MOST * PART]`, as `data.scenes.encode` gives them."""
    kind, colour, x, y, extent = vectors.view(-1, MOST, PART).unbind(2)  # each [B, MOST]
    middles = CELL * (torch.arange(GRID, device=vectors.device) + 0.5)
    across = ((x[..., None] - middles) / CELL)[:, :, None, :].expand(-1, -1, GRID, -1)
    down = ((y[..., None] - middles) / CELL)[:, :, :, None].expand(-1, -1, -1, GRID)
    heat = torch.exp(-(across**2 + down**2) / (2 * SPREAD**2))  # [B, MOST, 8, 8]
    slot = torch.stack([(extent > 0) & (extent < LARGE), extent >= LARGE], dim=1)
    nearest = (heat[:, None] * slot[..., None, None]).max(dim=2)  # [B, 2, MOST, 8, 8] -> one

    def of_nearest(value: Tensor) -> Tensor:
        """`[B, MOST, 8, 8]` -> `[B, 2, 8, 8]`"""
        return (
            value[:, None]
            .expand(-1, SLOTS, -1, -1, -1)
            .gather(2, nearest.indices[:, :, None])[:, :, 0]
        )

    def everywhere(value: Tensor) -> Tensor:
        return of_nearest(value.clamp(min=0)[..., None, None].expand_as(heat))

    return Targets(
        nearest.values,
        everywhere(kind).long(),
        everywhere(colour).long(),
        torch.stack([of_nearest(across), of_nearest(down)], dim=2),
        everywhere(extent) / CELL,
    )
