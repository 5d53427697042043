"""The GAN's two norms: of the discriminator's weights, and of the generator's features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralNorm(nn.Module):
    """W to W / σ(W), where σ, the largest singular value, comes from one power iteration a forward.

    u ← W v / ‖W v‖ with v = Wᵀu / ‖Wᵀu‖ and σ = uᵀ W v; u is kept from call to call, so that the
    estimate follows the slowly moving weights (Miyato et al. 2018, algorithm 1). The weight
    `[out, …]` is a matrix with `out` rows. Since every forward in training moves u, a batch cut in
    four moves it four times: micro-batches would not equal the batch.
    """

    u: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(len(weight)), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            W, u = weight.flatten(1), self.u
            with torch.no_grad():
                v = F.normalize(W.T @ u, dim=0)
                if self.training:
                    u = F.normalize(W @ v, dim=0)
                    self.u.copy_(u)
            return weight / (u @ W @ v)


class ConditionalBatchNorm2d(nn.Module):
    """BatchNorm whose scale and shift are linear in s: γ(s) x̂ + β(s), x̂ the normalised features.

    x `[B, C, H, W]` and s `[B, S]` to `[B, C, H, W]`. With s a one-hot label each class has its
    own γ and β (de Vries et al. 2017, section 4.1); with z in s too it is BigGAN's (Brock et al.
    2019, section 3.1 and appendix B).
    """

    def __init__(self, channels: int, S: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Linear(S, channels), nn.Linear(S, channels)
        nn.init.ones_(self.scale.bias)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        scale, shift = self.scale(s)[:, :, None, None], self.shift(s)[:, :, None, None]
        return torch.addcmul(shift, self.norm(x), scale)
