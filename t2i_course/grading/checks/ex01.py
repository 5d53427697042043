"""The checks of exercise 01: data and the autoencoder."""

from typing import Any

import torch
from torch import Tensor

from t2i_course.grading.checking import Checking, shown, task


@task(
    "ex01-as_input",
    equation=(
        "x_0 = u / 255 in [0, 1]",
        "x_0 = 2 u / 255 − 1 in [−1, 1]",
    ),
    points=2,
)
def check_as_input(c: Checking) -> None:
    grey = c.variant == 1
    shape, last = ((3, 4, 5), ()) if grey else ((2, 4, 3), (3,))
    u = c.draw.integers(1, 240, *shape, *last).to(torch.uint8)
    channels = 1 if grey else 3
    wanted = (shape[0], channels, *shape[1:])
    case = f"uint8 values of shape {list(u.shape)}"
    x = c.answer(u)
    c.tensor(
        x, wanted, case, torch.float32,
        slips={
            tuple(u.shape): "where is the place of the channels, the second one?",
            (*shape, 1): "the channels stand second, before H and W, not last.",
            (1, *shape): "a channel for each image, not one for the whole batch: place 1, not 0.",
        },
    )  # fmt: skip

    def seen(share: Tensor) -> Tensor:
        x = share.unsqueeze(1) if grey else share.permute(0, 3, 1, 2)
        return x if grey else 2 * x - 1

    low, high = (0.0, 1.0) if grey else (-1.0, 1.0)
    for value, end in ((0, low), (255, high)):
        flat = torch.full((*shape, *last), value, dtype=torch.uint8)
        flat.view(-1)[0] = 255 - value  # both ends are there
        c.close(
            c.answer(flat)[-1], torch.full(wanted[1:], end), f"an image of {value}s only",
            layer="property",
            slips={
                "255 is the largest value of a byte, so divide by 255, not by 256.": seen(
                    flat.double() / 256
                )[-1],
                "that is the range [0, 1]; here it is [-1, 1].": torch.full(
                    wanted[1:], value / 255
                ),
                "that is the range [-1, 1]; here it is [0, 1].": torch.full(
                    wanted[1:], 2 * value / 255 - 1
                ),
                "x − 1 moves the range and does not widen it: 2 x − 1.": torch.full(
                    wanted[1:], value / 255 - 1
                ),
            },
        )  # fmt: skip
    f = u.double()
    slips = {
        "u.max() of a batch is not 255: the same picture would get other values in another "
        "batch.": seen(f / f.max()),
        "minimum and maximum of a batch change from batch to batch: divide by 255.": seen(
            (f - f.min()) / (f.max() - f.min())
        ),
    }
    if not grey:
        slips["reshape keeps the order of the numbers and mixes the colours: move the axis."] = (
            2 * f.reshape(wanted) / 255 - 1
        )
        slips["height and width have changed places."] = (
            2 * f.permute(0, 3, 2, 1).reshape(wanted) / 255 - 1
        )
    c.close(x, seen(f / 255), case, slips=slips)


@task(
    "ex01-autoencoder_loss",
    equation="L = 1 / (B C H W) Σ ‖σ(f(g(x_0))) − x_0‖²",
    points=2,
)
def check_autoencoder_loss(c: Checking) -> None:
    B, shape, D, P = 6, (2, 3, 3), 4, 18
    x = c.draw.uniform(B, *shape, low=0.05, high=0.95)
    G, F = c.draw.normal(P, D) / 3, c.draw.normal(D, P)

    same = "an encoder and a decoder that lose nothing"
    loss = c.answer(lambda v: v, lambda z: torch.logit(z), x)
    c.tensor(loss, (), same)
    raw = (torch.logit(x) - x).double()
    c.close(
        loss, 0.0, same, layer="property",
        slips={
            "the decoder's output is any number: the sigmoid makes it a picture.": raw.square()
            .mean()
            .float(),
        },
    )  # fmt: skip

    case = "6 images and a linear encoder and decoder"
    loss = c.answer(lambda v: v @ G.to(v), lambda z: z @ F.to(z), x)
    c.tensor(loss, (), case, slips={(B,): "the mean is over the images too: one number."})
    flat = x.double().flatten(1)
    error = (flat @ G.double() @ F.double()).sigmoid() - flat
    c.close(
        loss, error.square().mean(), case,
        slips={
            "sum for mean: divide by all B C H W numbers.": error.square().sum(),
            "divide by the pixels too, not by the images only.": error.square().sum() / B,
            "divide by the images too, not by the pixels only.": error.square().sum() / P,
            "that is the mean of the absolute errors; the squares are asked for.": error.abs()
            .mean(),
            "no root: the mean squared error itself.": error.square().mean().sqrt(),
            "the sigmoid belongs after the decoder, not after the encoder.": (
                ((flat @ G.double()).sigmoid() @ F.double() - flat).square().mean()
            ),
            "no half: the mean squared error has none.": 0.5 * error.square().mean(),
        },
    )  # fmt: skip


@task(
    "ex01-pca",
    equation="x̂ = m + (x − m) Q_D Q_Dᵀ, Q_D the eigenvectors of the D largest eigenvalues",
    points=3,
)
def check_pca(c: Checking) -> None:
    N, P = 30, 5
    scale = torch.tensor([0.3, 3.0, 0.7, 1.0, 1.8])
    turn = torch.linalg.qr(c.draw.normal(P, P)).Q
    x = (c.draw.normal(N, P) * scale) @ turn + 2 * c.draw.normal(P) + 3
    D = c.draw.integer(1, 4)
    case = f"30 points of 5 numbers through D = {D}"
    x_hat = c.answer(x, D)
    c.tensor(x_hat, (N, P), case, slips={(N, D): "that is the code: go back to P numbers."})
    f = x.double()
    m = f.mean(0)
    near: dict[str, Any] = {"rtol": 1e-3, "atol": 2e-3}

    def through(m: Tensor, Q: Tensor, back: Tensor | float | None = None) -> Tensor:
        return (m if back is None else back) + (f - m) @ Q @ Q.T

    Q = torch.linalg.eigh((f - m).T @ (f - m)).eigenvectors
    no_mean = torch.linalg.eigh(f.T @ f).eigenvectors
    rows = torch.linalg.eigh(
        (x - x.mean(0)).T @ (x - x.mean(0))
    ).eigenvectors  # signs as in float32
    slips = {
        "eigh gives the eigenvalues in rising order: the largest are the last.": through(
            m, Q[:, :D]
        ),
        "the mean was taken off and is not put back.": through(m, Q[:, -D:], 0.0),
        "take the mean off first: the first direction is otherwise spent on it.": through(
            0 * m, no_mean[:, -D:]
        ),
        "take the mean off before the projection, too.": m + f @ Q[:, -D:] @ Q[:, -D:].T,
        "the eigenvectors are the columns of Q, not its rows.": through(m, rows.T[:, -D:].double()),
    }
    c.close(x_hat.mean(0), m, "the mean of what comes back", layer="property", slips={
        words: value.mean(0) for words, value in slips.items()
    }, **near)  # fmt: skip
    c.close(c.answer(x, P), x, "D = P, where nothing is lost", layer="property", **near)
    deviation = (f - m) / f.std(0)
    R = torch.linalg.eigh(deviation.T @ deviation).eigenvectors[:, -D:]
    slips["those are the directions of the correlation: do not divide by the deviations."] = m + (
        deviation @ R @ R.T
    ) * f.std(0)
    c.close(x_hat, through(m, Q[:, -D:]), case, slips=slips, **near)


@task(
    "ex01-smallest_size",
    equation=(
        "the smallest D with 1 − MSE(D) / MSE(mean picture) ≥ share",
        "the smallest D with MSE(D) ≤ (1 + tolerance) · the smallest MSE",
    ),
    points=2,
)
def check_smallest_size(c: Checking) -> None:
    """Variant 2: the smallest D with MSE(D) ≤ (1 + tolerance) · the best MSE."""
    error = {10: 0.5, 16: 0.3125, 20: 0.25, 64: 0.2, 128: 0.21, 192: 0.1875, 256: 0.22}
    if c.variant == 2:
        error[20] = 0.23
    order = [list(error)[i] for i in torch.randperm(7, generator=c.draw.generator).tolist()]
    fits = [D for D in order if error[D] <= 0.25]
    # of those that fit, 128 comes first: neither the smallest nor the best nor the largest
    places = [i for i, D in enumerate(order) if D in fits]
    for i, D in zip(places, [128, *(D for D in fits if D != 128)], strict=True):
        order[i] = D
    errors = [error[D] for D in order]
    slips: dict[str, Any] = {
        "the sizes come in any order: the first that fits need not be the smallest.": 128,
        "the best error is not asked for: the smallest size that is good enough.": 192,
        "the smallest of those that fit, not the largest.": 256,
    }
    rest: tuple[float, ...]
    if c.variant == 1:
        rest, case = (1.0, 0.75), "1.0 for the mean picture, share 0.75"
        slips["the share that is kept is 1 − error / error of the mean picture."] = 10
        slips["a size that keeps exactly the share is enough: ≥, not >."] = 64
    else:
        rest, case = (0.25,), "tolerance 0.25"
        slips["the tolerance is a share of the best error: (1 + tolerance) · best."] = 16
        slips["the error must be at most the limit: ≤, not ≥."] = 10
    case = f"sizes {order} with errors {errors}, {case}"
    size = c.answer(order, errors, *rest)
    whole, place = (
        type(size) is int and size in order,
        "the size itself, not its place in the list.",
    )
    c.holds(whole, "property", case, "one of the sizes, a whole number", shown(size), place)
    c.equal(size, 20, case, slips=slips)
    tenth = [e / 10 for e in errors]
    if c.variant == 1:
        case = "errors of a tenth, 0.1 for the mean picture, share 0.7"
        c.equal(c.answer(order, tenth, 0.1, 0.7), 20, case, slips={
            "divide by the mean picture's error: the share is of that.": 10,
        })  # fmt: skip
        far = c.answer(order, errors, 1.0, 0.99)
        c.equal(far, 256, "no size keeps a share of 0.99", slips={
            "where none is enough, take the largest size.": far,
        })  # fmt: skip
    else:
        c.equal(c.answer(order, tenth, 0.25), 20, "errors of a tenth, tolerance 0.25")
        came = c.answer(order, errors, 0.0)
        c.equal(came, 192, "tolerance 0, where only the best fits", slips={
            "an error equal to the limit fits: ≤, not <.": came,
        })  # fmt: skip


@task(
    "ex01-draw_codes",
    equation="z = m + R ε with R Rᵀ = S, m and S the mean and the covariance (N − 1) of the codes",
    points=3,
)
def check_draw_codes(c: Checking) -> None:
    N, D, M = 9, 3, 5
    codes = c.draw.normal(N, D) @ (torch.eye(D) + 0.8 * c.draw.normal(D, D)) + c.draw.normal(D)
    eps = c.draw.normal(M, D)
    case = "5 draws, fitted to 9 codes of 3 numbers"
    z = c.answer(codes, eps)
    c.tensor(z, (M, D), case)
    m = codes.double().mean(0)
    none = c.answer(codes, 0 * eps)
    c.close(
        none, m.expand(M, D), "ε = 0", layer="property",
        slips={"add the mean of the codes, or all is centred on 0.": torch.zeros(M, D)},
    )  # fmt: skip
    # R is what the answer makes of the unit vectors: any root of S will do
    R = (c.answer(codes, torch.eye(D)).double() - m).T
    by_units = m + eps.double() @ R.T
    c.agrees(z, by_units, "R ε is linear in ε", was="put together from unit vectors", atol=1e-4)
    S = codes.double().T.cov()
    root = torch.linalg.cholesky(S)
    c.close(
        R @ R.T, S, "R Rᵀ, with R read off from unit vectors as ε", atol=1e-3, rtol=1e-3,
        slips={
            "that is S itself: ε is multiplied by a root R of it.": S @ S.T,
            "R ε for rows of ε is eps @ R.T: yours multiplies from the wrong side.": root.T @ root,
            "each number by its own deviation only: the correlations are lost.": S.diag().diag(),
            "the covariance divides by N − 1, as torch.cov does.": S * (N - 1) / N,
            "that scatter was not divided by N − 1.": S * (N - 1),
            "the codes are rows, and torch.cov takes columns: codes.T.": torch.zeros(D, D),
            "the deviations of the codes from 0, not from their mean.": (
                codes.double().T @ codes.double() / (N - 1)
            ),
        },
    )  # fmt: skip
