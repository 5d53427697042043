"""Precision and recall: are the samples like real images, and do they reach all of these?"""

from torch import Tensor

from t2i_course.contract import require
from t2i_course.metrics.neighbours import nearest, squared_distances


class Manifold:
    """Where a set of features lives: the balls round each that just reach its k-th neighbour.

    Args:
        features: `[N, D]`, at least k + 1 of them; distances are in float64.
        k: 3 in the paper. More makes larger balls, and both numbers higher.

    Raises:
        T2IError: with too few features, or if some are not finite.

    Source: Kynkäänniemi et al. (2019), eq. 1.
    """

    def __init__(self, features: Tensor, k: int = 3):
        N = len(features) if features.ndim else 0
        require(1 <= k < N, f"The {k}-th neighbour within {N} features does not exist: add images.")
        self.features = features.double()
        radii = nearest(self.features, self.features, k + 1)[0][:, k]  # the 0-th is itself
        # A ball of radius 0, round an image that is there k + 1 times, still holds its centre.
        rounding = 1e-12 * (self.features - self.features.mean(dim=0)).square().sum(dim=1)
        self._squared_radii = radii.square() + rounding

    def share_inside(self, points: Tensor) -> float:
        """The share of the points `[M, D]` that lie in at least one ball."""
        blocks = squared_distances(points.double(), self.features)
        inside = sum(int((block <= self._squared_radii).any(dim=1).sum()) for block in blocks)
        return inside / len(points)


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> tuple[float, float]:
    """Precision and recall, each in [0, 1], of features `[N, D]` and `[M, D]`.

    Precision: the share of generated images inside the real ones' manifold. Recall: the share of
    real images inside the generated ones' manifold. Both depend on N, M and k: compare scores of
    equal numbers, beside their ceiling, what other real images score.

    Raises:
        T2IError: as `Manifold`.

    Source: Kynkäänniemi et al. (2019), eq. 2.
    """
    return (
        Manifold(real, k).share_inside(generated),
        Manifold(generated, k).share_inside(real),
    )
