"""The checks of exercise 04: generative adversarial networks."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, shown, task


@task(
    "ex04-discriminator_loss",
    equation=(
        "−E log σ(D(x)) − E log(1 − σ(D(G(z))))",
        "E max(0, 1 − D(x)) + E max(0, 1 + D(G(z)))",
    ),
    points=2,
    reference="t2i_course.models.gan:non_saturating_discriminator, "
    "t2i_course.models.gan:hinge_discriminator",
)
def check_discriminator_loss(c: Checking) -> None:
    real, fake = 1.5 * c.draw.normal(5) + 0.5, 1.5 * c.draw.normal(8) - 0.5
    soft = c.variant == 1
    case = "logits of 5 real and 8 drawn images"
    loss = c.answer(real, fake)
    c.tensor(loss, (), case, slips={
        (5,): "one number: the mean over the images.",
        (8,): "one number: the mean over the images.",
    })  # fmt: skip

    def term(f: Tensor) -> Tensor:  # what D pays for a real image of the logit f
        return F.softplus(-f) if soft else F.relu(1 - f)

    undecided, even = 2 * term(torch.zeros(())).double(), "all logits 0: D cannot decide"
    c.close(
        c.answer(torch.zeros(5), torch.zeros(8)), undecided, even, layer="property",
        slips={
            "the two terms are added, not averaged.": undecided / 2,
            "D maximises the value, so its loss is the negative of it.": -undecided,
            "a mean over each batch, not a sum.": undecided / 2 * 13,
            "the margin of 1 is missing: max(0, 1 − D(x)).": torch.zeros(()),
            "the logits come without sigmoid: it belongs into the loss, once.": 2
            * term(torch.tensor(0.5)),
            "each batch has its own mean.": undecided * 13 / 2 / 5,
        },
    )  # fmt: skip
    far, huge = torch.full((5,), 200.0), "logits of ± 200, all right"
    sure = c.answer(far, -torch.full((8,), 200.0))
    low, lost = c.answer(-far, torch.full((8,), 200.0)), "logits of ± 200, all wrong"
    for value, what in ((sure, huge), (low, lost)):
        finite = not isinstance(value, Tensor) or bool(value.isfinite().all())
        c.holds(
            finite, "contract", what, "a finite number", shown(value),
            "1 − σ(200) rounds to 0, and its log is −∞: −log σ(f) is softplus(−f).",
        )  # fmt: skip
    c.close(
        sure, 0.0, huge, layer="property", slips={
            "real images should have large logits, drawn ones small: yours are turned.": 2
            * term(torch.tensor(-200.0)),
            "beyond the margin nothing is to be paid: max(0, …).": torch.tensor(-398.0),
        },
    )  # fmt: skip
    f, g = real.double(), fake.double()
    both = torch.cat([term(f), term(-g)])
    slips = {
        "each batch has its own mean: two means, added.": 2 * both.mean(),
        "the drawn images' term is missing, or it is the real one's again.": 2 * term(f).mean(),
        "only the drawn images are counted.": 2 * term(-g).mean(),
        "drawn images should have small logits: the sign of the second term.": (
            term(f).mean() + term(g).mean()
        ),
        "σ(D) is the probability of real: yours are turned.": term(-f).mean() + term(g).mean(),
        "the margin is 1, on both sides.": F.relu(-f).mean() + F.relu(g).mean(),
        "no square in the hinge loss.": F.relu(1 - f).square().mean()
        + F.relu(1 + g).square().mean(),
        "labels of 0.9 in place of 1: that is label smoothing.": (
            term(f).mean() + 0.1 * f.mean() + term(-g).mean()
        ),
        "that is the logarithm of a mean: the mean is outside.": (
            -f.sigmoid().mean().log() - (1 - g.sigmoid()).mean().log()
        ),
        "max(0, ·) is of each image, before the mean.": F.relu(1 - f.mean()) + F.relu(1 + g.mean()),
    }
    c.close(loss, term(f).mean() + term(-g).mean(), case, slips=slips)
    c.close(low, torch.tensor(400.0 if soft else 402.0), lost, slips={
        "a clamp hides how wrong D is: softplus needs none.": low if low < 100 else math.nan,
    })  # fmt: skip


@task(
    "ex04-game_losses",
    equation="(L_D, L_G) with L_G = −E log σ(D(G(z))), and a G(z) that L_D sees as a constant",
    points=3,
)
def check_game_losses(c: Checking) -> None:
    theta, w = c.draw.normal(3, 2), c.draw.normal(3)
    x, z = c.draw.normal(6, 3), c.draw.normal(6, 2)
    case = "6 real points, 6 latents"
    losses = c.answer(theta, w, x, z)
    c.tensor(losses, (2,), case, slips={(): "both losses: torch.stack([L_D, L_G])."})
    t, v = theta.double().requires_grad_(), w.double().requires_grad_()

    def score(points: Tensor) -> Tensor:
        return points.square() @ v

    fake = torch.tanh(z.double() @ t.T)
    loss_G = F.softplus(-score(fake)).mean()
    real_part = F.softplus(-score(x.double())).mean()
    loss_D = real_part + F.softplus(score(fake.detach())).mean()
    leaking = real_part + F.softplus(score(fake)).mean()
    saturating = -F.softplus(score(fake)).mean()
    undecided = c.answer(theta, 0 * w, x, z)
    c.close(
        undecided, torch.tensor([2 * math.log(2), math.log(2)]), "D gives 0 everywhere",
        layer="property",
        slips={
            "L_D has two terms, added.": torch.tensor([math.log(2), math.log(2)]),
            "L_G is the negative of that: G wants a small loss.": torch.tensor(
                [2 * math.log(2), -math.log(2)]
            ),
            "L_D first, then L_G.": torch.tensor([math.log(2), 2 * math.log(2)]),
            "means, not sums.": torch.tensor([12 * math.log(2), 6 * math.log(2)]),
        },
    )  # fmt: skip
    turned = F.softplus(score(fake)).mean()
    c.close(
        losses, torch.stack([loss_D, loss_G]).detach(), case,
        slips={
            "that is the saturating loss: it has no gradient where D is sure.": torch.stack(
                [loss_D, saturating]
            ).detach(),
            "G wants D to say \"real\": softplus(−D).": torch.stack([loss_D, turned]).detach(),
            "D wants a small logit for drawn points.": torch.stack(
                [real_part + loss_G, loss_G]
            ).detach(),
            "D wants a large logit for real points.": torch.stack(
                [F.softplus(score(x.double())).mean() + turned, loss_G]
            ).detach(),
        },
    )  # fmt: skip
    by_theta, by_w = c.answer.gradients(theta, w, x, z, wrt=(0, 1))

    def gradient(loss: Tensor, of: Tensor) -> Tensor:
        return torch.autograd.grad(loss, of, retain_graph=True)[0]

    c.close(
        by_theta, gradient(loss_G, t), "the gradient of L_D + L_G by G's weights",
        slips={
            "L_D's gradient reaches G's weights: G(z) is detached in L_D.": gradient(
                leaking + loss_G, t
            ),
            "the gradient reaches G through L_D and not through L_G: detach in L_D.": gradient(
                leaking, t
            ),
        },
    )  # fmt: skip
    c.close(
        by_w, gradient(loss_D + loss_G, v), "the gradient of L_D + L_G by D's weights",
        slips={
            "the detach is in the wrong place: it belongs to G(z), not to D(G(z)).": gradient(
                real_part + loss_G, v
            ),
            "only L_G has a gradient by D's weights: detach G(z) alone.": gradient(loss_G, v),
        },
    )  # fmt: skip


def _slopes(W: Tensor, b: Tensor, w: Tensor, x: Tensor) -> Tensor:
    """∇_x D(x) of D(x) = w · tanh(W x + b), in closed form, float64: `[B, P]`."""
    hidden = torch.tanh(x @ W.T + b)
    return (w * (1 - hidden**2)) @ W


@task(
    "ex04-slope_penalty",
    equation=(
        "½ E ‖∇D(x)‖²",
        "E (‖∇D(x̂)‖ − 1)², x̂ = u x + (1 − u) G(z)",
    ),
    points=4,
    reference="t2i_course.models.gan:squared_gradient_norm",
)
def check_slope_penalty(c: Checking) -> None:
    B, P, H = (5 if c.variant == 1 else 4), 4, 3  # u `[4]` for columns raises nothing
    W, b, w = c.draw.normal(H, P), c.draw.normal(H), 1.5 * c.draw.normal(H)
    real, fake, u = c.draw.normal(B, P), c.draw.normal(B, P), c.draw.uniform(B)
    leaves = W.double(), b.double(), w.double()
    for leaf in leaves:
        leaf.requires_grad_()
    r1 = c.variant == 1
    rest = (real,) if r1 else (real, fake, u)
    case = "5 points of 4 numbers" if r1 else "4 real and 4 drawn points of 4 numbers"
    value = c.answer(W, b, w, *rest)
    c.tensor(value, (), case, slips={(B,): "one number: the mean over the points."})

    x, y, share = real.double(), fake.double(), u.double()[:, None]

    def at(points: Tensor) -> Tensor:
        return _slopes(*leaves, points)

    flat = "w = 0: a D that is flat"
    c.close(
        c.answer(W, b, 0 * w, *rest), 0.0 if r1 else 1.0, flat, layer="property",
        slips={
            "the − 1 is missing: the slope should be 1, not 0.": 0.0,
            "R1 wants a slope of 0: no − 1.": 0.5,
            "R1 wants a slope of 0: no − 1 and a half.": 1.0,
            "no half in this penalty.": 0.5 if not r1 else math.nan,
            "a sum for the mean over the points.": float(B),
        },
    )  # fmt: skip
    if r1:
        slope = at(x)
        squares = slope.square().sum(1)
        expected = 0.5 * squares.mean()
        slips = {
            "the factor ½ is missing.": squares.mean(),
            "the norm enters squared.": 0.5 * squares.sqrt().mean(),
            "a mean for the sum over a point's numbers: the norm adds up squares.": expected / P,
            "a sum for the mean over the points.": expected * B,
            "that is the norm of the mean gradient: the mean comes last.": 0.5
            * slope.mean(0).square().sum(),
            "D's values were averaged before the gradient, so that it is B times too small: take "
            "the sum.": expected / B**2,
            "the squares are added up, not the gradient's numbers.": 0.5
            * slope.sum(1).square().mean(),
        }
    else:
        hat = share * x + (1 - share) * y

        def penalty(points: Tensor) -> Tensor:
            return (at(points).norm(dim=1) - 1).square().mean()

        expected = penalty(hat)
        c.close(
            c.answer(W, b, w, real, real, u), penalty(x).detach(), "drawn points = real points",
            layer="property", atol=1e-4, rtol=1e-3,
            slips={
                "the norm itself minus 1, not its square.": (
                    (at(x).square().sum(1) - 1).square().mean().detach()
                ),
                "the difference to 1 enters squared.": (
                    (at(x).norm(dim=1) - 1).abs().mean().detach()
                ),
                "no half in this penalty.": 0.5 * penalty(x).detach(),
                "D's values were averaged before the gradient: take the sum.": (
                    (at(x).norm(dim=1) / B - 1).square().mean().detach()
                ),
                "the mean of the norms is not what is held to 1: each norm is.": (
                    (at(x).norm(dim=1).mean() - 1).square().detach()
                ),
                "a mean for the sum over a point's numbers: the norm adds up squares.": (
                    (at(x).square().mean(1).sqrt() - 1).square().mean().detach()
                ),
            },
        )  # fmt: skip
        slips = {
            "u weighs the real point, 1 − u the drawn one.": penalty(share * y + (1 - share) * x),
            "one u for each point: make it a column [B, 1].": penalty(
                share.T * x + (1 - share.T) * y
            ),
            "the slope is measured between the points, not at the real ones.": penalty(x),
            "the slope is measured between the points, not at the drawn ones.": penalty(y),
            "the half way for all? Each point has its own u.": penalty((x + y) / 2),
        }
    near: dict[str, Any] = {"atol": 1e-4, "rtol": 1e-3}
    c.close(value, expected.detach(), case, slips={k: v.detach() for k, v in slips.items()}, **near)
    found = c.answer.gradients(W, b, w, *rest, wrt=(0, 1, 2))
    wanted = torch.autograd.grad(expected, leaves)
    for name, came, gradient in zip(("W", "b", "w"), found, wanted, strict=True):
        c.close(
            came, gradient, f"the gradient of the penalty by {name}, which trains D", **near,
            slips={"part of the penalty is cut off from D's weights: create_graph=True.": 0 * came},
        )  # fmt: skip


@task(
    "ex04-projection_logits",
    equation="D(x, y) = w · φ(x) + b + (V y) · φ(x)",
    points=2,
)
def check_projection_logits(c: Checking) -> None:
    B, K, D = 4, 4, 4  # as many of each: a wrong axis raises nothing
    phi, w, b, V = c.draw.normal(B, K), c.draw.normal(K), c.draw.normal(), c.draw.normal(K, D)
    y = torch.eye(D)[torch.randperm(D, generator=c.draw.generator)]
    y = y + 0.25 * c.draw.uniform(B, D)
    case = "4 images with 4 features, 4 classes"
    logits = c.answer(phi, y, w, b, V)
    c.tensor(logits, (B,), case, slips={
        (B, B): "a table of all pairs of images and labels? Each image has its own y: multiply "
        "number by number and sum over the features.",
        (B, 1): "one logit for each image: [B].",
        (): "one logit for each image: [B].",
    })  # fmt: skip
    f, v, m = phi.double(), y.double(), V.double()
    plain = f @ w.double() + b
    c.close(
        c.answer(phi, 0 * y, w, b, V), plain, "y = 0, where only w · φ + b is left",
        layer="property",
        slips={
            "the bias b is missing.": plain - b,
            "w · φ(x) + b is missing: what D says without the label.": torch.zeros(B),
            "sum over the features, not a mean.": (f * w).mean(1) + b,
            "w belongs to the features; it is an inner product with φ(x).": f.sum(1) + b,
            "the bias is added once.": plain + (K - 1) * b,
        },
    )  # fmt: skip
    c.close(
        logits, plain + ((v @ m.T) * f).sum(1), case,
        slips={
            "V y, with y as a row: y @ V.T, not y @ V.": plain + ((v @ m) * f).sum(1),
            "V y does not see the image: its inner product with φ(x) is added.": plain
            + (v @ m.T).sum(1),
            "sum over the features (dim=1), not over the images.": plain + ((v @ m.T) * f).sum(0),
            "an inner product with φ(x), not with w.": plain + ((v @ m.T) * w).sum(1),
            "a sum over the features, not a mean.": plain + ((v @ m.T) * f).mean(1),
            "the label's part is added, not multiplied.": plain * ((v @ m.T) * f).sum(1),
        },
    )  # fmt: skip


@task(
    "ex04-modes_held",
    equation="good: within 3 σ of a mode; held: at least a tenth of N / K good points",
    points=3,
)
def check_modes_held(c: Checking) -> None:
    K, N, sigma = 5, 160, 0.1  # a tenth of the fair share: 3.2 points
    turn = torch.arange(K) * 2 * math.pi / K
    modes = 2 * torch.stack([turn.cos(), turn.sin()], dim=1)
    modes = modes[torch.randperm(K, generator=c.draw.generator)] + 0.2 * c.draw.normal(2)
    good = [60, 4, 3, 30, 0]  # plenty, just enough, one too few, plenty, none
    counts = [good[i] for i in torch.randperm(K, generator=c.draw.generator).tolist()]

    def around(place: int, count: int, low: float, high: float) -> Tensor:
        angle, radius = c.draw.uniform(count, high=2 * math.pi), c.draw.uniform(count)
        radius = low + (high - low) * radius
        return modes[place] + sigma * radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)

    near = [around(k, counts[k] - 1, 0.2, 2.6) for k in range(K) if counts[k]]
    edge = [around(k, 1, 2.7, 2.9) for k in range(K) if counts[k]]
    bad = [around(counts.index(3), 23, 3.3, 5.0), around(counts.index(0), 40, 3.3, 5.0)]
    points = torch.cat([*near, *edge, *bad])[torch.randperm(N, generator=c.draw.generator)]
    share = sum(counts) / N
    case = f"160 points, 5 modes, σ = 0.1; good points at the modes: {counts}"

    alone = c.answer(modes, modes, sigma)
    pair = isinstance(alone, tuple | list) and len(alone) == 2
    names = "two values: the held modes, the share of good points"
    c.holds(pair, "contract", "the modes themselves as points", names, shown(alone))
    value = c.answer(points, modes, sigma)
    held, good_share = value
    plain = type(held) is int
    c.holds(
        plain, "contract", case, "a whole number of held modes", shown(held),
        "int(…) makes a number of a tensor.",
    )  # fmt: skip
    c.equal(alone[0], K, "the modes themselves as points", layer="property")
    c.close(alone[1], 1.0, "the modes themselves as points: the share", layer="property", slips={
        "a share, not a count: divide by the number of points.": float(K),
    })  # fmt: skip
    distance = torch.cdist(points, modes)

    def shares(limit: float, square: bool = False) -> float:
        d = distance.square() if square else distance
        return (d.amin(1) < limit).double().mean().item()

    c.close(
        good_share, share, f"{case}: the share of good points",
        slips={
            "3 σ, not σ.": shares(sigma),
            "3 σ, not 2 σ.": shares(2 * sigma),
            "the distance, not its square.": shares(3 * sigma, square=True),
            "3 σ, not 9 σ².": shares(9 * sigma**2),
            "good points are within 3 σ: yours are those outside.": 1 - share,
            "the share of all points, not of those near a held mode only.": (share * N - 3) / N,
        },
    )  # fmt: skip
    c.equal(
        held, 3, f"{case}: the held modes",
        slips={
            "one good point is not enough: a tenth of the fair share N / K.": 4,
            "only good points count: those further than 3 σ are of no mode.": 5,
            "the fair share is N / K points: a tenth of that is enough.": 2,
            "the modes that are held, not those that are lost.": 1,
        },
    )  # fmt: skip
    exact = modes[:4].repeat_interleave(torch.tensor([36, 4, 1, 119]), dim=0)
    case = "36, 4, 1 and 119 points at four modes: 4 is just a tenth"
    c.equal(c.answer(exact, modes[:4], sigma)[0], 3, case, slips={
        "exactly a tenth is enough: ≥, not >.": 2,
    })  # fmt: skip
