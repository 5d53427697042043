"""A small U-Net: noisy image x_t, time t and condition c in; a prediction of the image's shape out.

    x_t ── patches ── level 1 ──────────── + ── level 1 ── pixels ──>
                        └── level 2 ── + ───┘
                            (attention)
    t, c ── e, added inside every block

Quick on a CPU by three choices: work begins on patches of 2x2 pixels, so that nothing sees the full
resolution; channels stand last in memory, and every wide operation is a convolution or passes over
the memory once; and each weight is a matrix, as the optimizer Muon wants it.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.contract import Condition, require

FREQUENCIES = 32


class Conv(nn.Module):
    """A convolution without bias, `[B, C_in, H, W]` to `[B, C_out, H / stride, W / stride]`.

    Its weight is a matrix `[C_out, size · size · C_in]`, channels last; `zero` starts it at 0, so
    that at first the block that it ends adds nothing (Goyal et al. 2017, section 5.1).
    """

    def __init__(self, C_in: int, C_out: int, size: int = 3, stride: int = 1, zero: bool = False):
        super().__init__()
        self.C_in, self.size, self.stride = C_in, size, stride
        self.weight = nn.Parameter(torch.zeros(C_out, size * size * C_in))
        if not zero:
            nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as nn.Conv2d does

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.unflatten(1, (self.size, self.size, self.C_in)).permute(0, 3, 1, 2)
        return F.conv2d(x, kernel, stride=self.stride, padding=self.size // 2)


def norm_relu(x: Tensor, shift: Tensor | None = None) -> Tensor:
    """ReLU(LN(x) + shift): each image `[C, H, W]` to mean 0 and variance 1, shift `[B, C]`.

    Layer normalisation over the whole image (Ba et al. 2016) is group normalisation with one group,
    and on channels that stand last the only one that is one pass over the memory.
    """
    y = x.permute(0, 2, 3, 1)  # [B, H, W, C] is how it lies in memory
    y = F.layer_norm(y, y.shape[1:])
    if shift is not None:
        y = y.add_(shift[:, None, None, :])
    return y.relu_().permute(0, 3, 1, 2)


class Block(nn.Module):
    """x + f(x, e): two convolutions (He et al. 2016), e `[B, E]` between (Ho et al. 2020)."""

    def __init__(self, width: int, E: int):
        super().__init__()
        self.conv1 = Conv(width, width)
        self.shift = nn.Linear(E, width)
        self.conv2 = Conv(width, width, zero=True)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(norm_relu(x))
        return x + self.conv2(norm_relu(h, self.shift(e)))


class Level(nn.Module):
    """Some blocks of one width and resolution, one after another."""

    def __init__(self, width: int, E: int, blocks: int):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, E) for _ in range(blocks))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, e)
        return x


class Attention(nn.Module):
    """x + softmax(Q Kᵀ / √C) V over the H·W places (Vaswani et al. 2017, eq. 1), one head."""

    def __init__(self, C: int):
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C, bias=False)
        self.out = nn.Linear(C, C, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        y = x.permute(0, 2, 3, 1).reshape(B, H * W, C)
        Q, K, V = self.qkv(F.layer_norm(y, (C,))).chunk(3, dim=-1)
        # Written out: on a CPU torch's fused attention is slower in bfloat16 than these products.
        y = y + self.out((C**-0.5 * Q @ K.mT).softmax(dim=-1) @ V)
        return y.view(B, H, W, C).permute(0, 3, 1, 2)


class CrossAttention(nn.Module):
    """Each place x reads the text: x + softmax(Q Kᵀ / √d) V, keys and values of the tokens.

    Rombach et al. 2022, section 3.3. `heads` heads of d = C / heads each. A learned null token
    stands before the text: rows without a condition see it alone, the others may rest on it.
    """

    def __init__(self, C: int, token_dim: int, heads: int = 4):
        super().__init__()
        self.heads, self.token_dim = heads, token_dim
        self.query = nn.Linear(C, C, bias=False)
        self.key_value = nn.Linear(token_dim, 2 * C, bias=False)
        self.null = nn.Parameter(torch.zeros(token_dim))
        self.out = nn.Linear(C, C, bias=False)
        nn.init.zeros_(self.out.weight)

    def tokens(self, condition: Condition, like: Tensor) -> tuple[Tensor, Tensor]:
        """The null token and the text's `[B, 1 + T_txt, D_tok]`, and which of them are there."""
        B = len(condition)
        null = self.null.expand(B, 1, -1)
        there = torch.ones(B, 1, dtype=torch.bool, device=like.device)
        if condition.tokens is None or condition.mask is None:
            require(not bool(condition.present.any()), "This model reads tokens: give it some.")
            return null, there
        require(
            condition.tokens.shape[2] == self.token_dim,
            f"This model takes tokens of size {self.token_dim}, not {condition.tokens.shape[2]}.",
        )
        tokens = torch.cat([null, condition.tokens.to(null)], dim=1)
        return tokens, torch.cat([there, condition.mask & condition.present[:, None]], dim=1)

    def attend(self, x: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """How much each place looks at each token, `[B, heads, H·W, 1 + T_txt]`, and the values
        `[B, heads, 1 + T_txt, d]`."""
        y = x.flatten(2).mT  # [B, C, H, W] -> [B, H·W, C]
        tokens, there = self.tokens(condition, x)
        Q = self.query(F.layer_norm(y, y.shape[2:])).unflatten(2, (self.heads, -1)).transpose(1, 2)
        K, V = self.key_value(tokens).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        looks = (Q.shape[-1] ** -0.5 * Q @ K.mT).masked_fill(~there[:, None, None], -torch.inf)
        return looks.softmax(dim=-1), V

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        B, C, H, W = x.shape
        weights, V = self.attend(x, condition)
        read = (weights @ V).transpose(1, 2).reshape(B, H, W, C)
        return x + self.out(read).permute(0, 3, 1, 2)


class TimeAndCondition(nn.Module):
    """t `[B]` and c as one vector e `[B, E]`; rows whose condition is absent get a learned null.

    t in [0, 1] enters as sinusoids (Vaswani et al. 2017, section 3.5), which a small MLP joins with
    the condition's vector.
    """

    frequencies: Tensor

    def __init__(self, condition_dim: int, E: int):
        super().__init__()
        scale = torch.linspace(0, math.log(1000), FREQUENCIES).exp()
        self.register_buffer("frequencies", scale, persistent=False)
        self.time = nn.Linear(2 * FREQUENCIES, E)
        self.condition = nn.Linear(condition_dim, E, bias=False)
        self.null = nn.Parameter(torch.zeros(E))
        self.out = nn.Linear(E, E)

    def forward(self, t: Tensor, condition: Condition) -> Tensor:
        angle = t.to(self.frequencies)[:, None] * self.frequencies
        e = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        c = self.null.to(e.dtype).expand_as(e)
        if condition.vector is not None:
            D = self.condition.in_features
            require(
                condition.vector.shape[1] == D,
                f"This model takes conditions of size {D}; the vectors have size "
                f"{condition.vector.shape[1]}.",
            )
            c = torch.where(condition.present[:, None], self.condition(condition.vector), c)
        return F.silu(self.out(F.silu(e + c)))


class UNet(nn.Module):
    """x_t `[B, C, H, W]`, t `[B]` in [0, 1] and B conditions to a prediction `[B, C, H, W]`.

    Args:
        image_shape: (C, H, W), H and W multiples of patch · 2^(levels − 1).
        condition_dim: D of the condition's vector.
        widths: channels of each level; each level has half the resolution of the one before.
        blocks: of each level, on the way down and again on the way up.
        patch: side of the patches that the first level works on.
        attention: whether the last level attends (at low resolution only: its cost grows with the
            square of the number of places).
        token_dim: D_tok of the condition's tokens, which the last level then reads before and after
            it attends; 0 for a model that reads none.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        condition_dim: int,
        widths: tuple[int, ...],
        blocks: int,
        patch: int,
        attention: bool,
        token_dim: int = 0,
    ):
        super().__init__()
        C, E = image_shape[0] * patch**2, 2 * widths[0]
        self.patch = patch
        self.embed = TimeAndCondition(condition_dim, E)
        self.first = Conv(C, widths[0])
        self.down = nn.ModuleList(Level(width, E, blocks) for width in widths)
        self.up = nn.ModuleList(Level(width, E, blocks) for width in widths)
        self.shrink = nn.ModuleList(Conv(a, b, stride=2) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(Conv(b, 4 * a, size=1) for a, b in pairwise(widths))
        self.attention = Attention(widths[-1]) if attention else nn.Identity()
        if token_dim:
            self.read = nn.ModuleList(CrossAttention(widths[-1], token_dim) for _ in range(2))
            # Convolutions hardly know where they are, and a text says "at the top left".
            side = patch * 2 ** (len(widths) - 1)
            low = (widths[-1], image_shape[1] // side, image_shape[2] // side)
            self.places = nn.Parameter(0.5 * torch.randn(low))
        self.last = Conv(widths[0], C, zero=True)

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        e = self.embed(t, condition)
        h = F.pixel_unshuffle(x_t, self.patch).contiguous(memory_format=torch.channels_last)
        h = self.first(h)
        skips = []
        for i, level in enumerate(self.down):
            h = level(self.shrink[i - 1](h) if i else h, e)
            skips.append(h)
        if hasattr(self, "read"):
            before, after = self.read
            h = after(self.attention(before(h + self.places, condition)), condition)
        else:
            h = self.attention(h)
        h = self.up[-1](h, e)
        for i in reversed(range(len(self.grow))):
            h = self.up[i](unpatch(self.grow[i](h)) + skips[i], e)
        return F.pixel_shuffle(self.last(norm_relu(h)), self.patch)


def unpatch(x: Tensor) -> Tensor:
    """`[B, 4 C, H, W]` to `[B, C, 2 H, 2 W]`, channels last: pixel_shuffle, which here is slow."""
    B, C4, H, W = x.shape
    y = x.permute(0, 2, 3, 1).reshape(B, H, W, 2, 2, C4 // 4).transpose(2, 3)
    return y.reshape(B, 2 * H, 2 * W, C4 // 4).permute(0, 3, 1, 2)
