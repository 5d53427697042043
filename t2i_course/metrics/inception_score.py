"""The Inception score: are the images sure of their class, and the classes many?"""

import torch
from torch import Tensor

from t2i_course.contract import require


class InceptionScore:
    """Streaming IS = exp(E_x KL(p(y|x) ‖ p(y))), its mean and spread over contiguous splits.

    Since E_x KL(p(y|x) ‖ p(y)) = H(E_x p(y|x)) - E_x H(p(y|x)), a split needs one sum of p and one
    of entropies: the state does not grow with the images. Split i holds the images from
    i·N // splits to (i+1)·N // splits, in the order in which they come. The value
    grows with the number of images in a split: compare scores of equal N and splits.

    Args:
        samples: N, all the images that will come.
        splits: into how many parts they are cut, each scored by itself.

    Raises:
        T2IError: unless 1 <= splits <= samples.

    Source: Salimans et al. (2016), section 4; N = 50,000 in 10 splits there.
    """

    def __init__(self, samples: int, splits: int = 10):
        require(
            1 <= splits <= samples,
            f"{samples} samples cannot be cut into {splits} splits: "
            "take from 1 split to one per sample.",
        )
        self.samples = samples
        self.splits = splits
        self.seen = 0
        self._ends = torch.tensor([(i + 1) * samples // splits for i in range(splits)])
        self._p = torch.zeros(splits, 0, dtype=torch.float64)  # Σ p(y|x), [splits, K]
        self._H = torch.zeros(splits, dtype=torch.float64)  # Σ H(p(y|x)), [splits]

    def update(self, logits: Tensor) -> None:
        """Adds the classifier's logits `[B, K]`, whose softmax (in float64) is p(y|x).

        A logit may be -inf, for a probability of 0.

        Raises:
            T2IError: if the shape is not `[B, K]`, a row has no softmax, or more than N rows came.
        """
        p = logits.detach().cpu().double().softmax(dim=-1)
        broken = int(p.isnan().any(dim=-1).sum())
        require(broken == 0, f"{broken} rows of logits are not finite and have no softmax.")
        self._add(p)

    def update_probabilities(self, p: Tensor) -> None:
        """Adds probabilities p(y|x) `[B, K]`, in [0, 1], each row of sum 1 (up to 1e-4).

        Raises:
            T2IError: if the shape is not `[B, K]`, a row is no distribution, or more than N came.
        """
        p = p.detach().cpu().double()
        total = p.sum(dim=-1, keepdim=True)
        distribution = (p >= 0).all(dim=-1) & ((total.squeeze(-1) - 1).abs() <= 1e-4)
        require(
            bool(distribution.all()),
            f"{int((~distribution).sum())} rows are not probabilities: each must be at least 0 "
            "and of sum 1. For logits call update.",
        )
        self._add(p / total)

    def compute(self) -> tuple[float, float]:
        """Mean and population standard deviation of IS over the splits, each IS in [1, K].

        Raises:
            T2IError: until all N samples have come.
        """
        require(
            self.seen == self.samples,
            f"The Inception score was set up for {self.samples} samples and has seen {self.seen}.",
        )
        n = self._ends.diff(prepend=torch.tensor([0]))
        H_marginal = torch.special.entr(self._p / n[:, None]).sum(dim=1)  # [splits, K] -> [splits]
        scores = (H_marginal - self._H / n).clamp(min=0).exp()
        return scores.mean().item(), scores.std(correction=0).item()

    def _add(self, p: Tensor) -> None:
        require(p.ndim == 2, f"One row per image is expected, [B, K], not shape {list(p.shape)}.")
        B, K = p.shape
        require(
            self.seen + B <= self.samples,
            f"The Inception score was set up for {self.samples} samples; "
            f"{self.seen + B} have come. Say how many there are in InceptionScore(samples=…).",
        )
        if self.seen == 0:
            self._p = self._p.new_zeros(self.splits, K)
        require(
            self._p.shape[1] == K,
            f"The rows have {K} classes; those before had {self._p.shape[1]}.",
        )
        split = torch.bucketize(torch.arange(self.seen, self.seen + B), self._ends, right=True)
        self._p.index_add_(0, split, p)
        self._H.index_add_(0, split, torch.special.entr(p).sum(dim=1))
        self.seen += B
