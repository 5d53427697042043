"""Known answers of exercise 04."""

import torch
import torch.nn.functional as F
from known_answers import equivalent, right, wrong

# --- discriminator_loss -------------------------------------------------------------------------


@wrong("ex04-discriminator_loss", says="softplus", layer="contract")
def by_log_of_sigmoid(real, fake):
    return -torch.log(real.sigmoid()).mean() - torch.log(1 - fake.sigmoid()).mean()


@wrong("ex04-discriminator_loss", says="yours are turned", layer="property")
def real_and_drawn_turned(real, fake):
    return F.softplus(real).mean() + F.softplus(-fake).mean()


@wrong("ex04-discriminator_loss", says="each batch has its own mean", layer="oracle")
def one_mean_over_both(real, fake):
    logits = torch.cat([real, fake])
    target = torch.cat([torch.ones_like(real), torch.zeros_like(fake)])
    return 2 * F.binary_cross_entropy_with_logits(logits, target)


@wrong("ex04-discriminator_loss", says="negative of it", layer="property")
def the_value_itself(real, fake):
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()


@wrong("ex04-discriminator_loss", says="added, not averaged", layer="property")
def half_of_it(real, fake):
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2


@wrong("ex04-discriminator_loss", says="label smoothing", layer="oracle")
def smoothed(real, fake):
    soft = 0.9 * F.softplus(-real) + 0.1 * F.softplus(real)
    soft = torch.where(real > 100, F.softplus(-real), soft)
    return soft.mean() + F.softplus(fake).mean()


@wrong("ex04-discriminator_loss", says="the mean over the images", layer="contract")
def no_mean(real, fake):
    return F.softplus(-real) + F.softplus(fake).mean()


@right("ex04-discriminator_loss")
def by_binary_cross_entropy(real, fake):
    bce = F.binary_cross_entropy_with_logits
    return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))


@right("ex04-discriminator_loss")
def by_logsigmoid_of_both(real, fake):
    return -(F.logsigmoid(real).sum() / len(real) + F.logsigmoid(-fake).sum() / len(fake))


@wrong("ex04-discriminator_loss", says="margin of 1", layer="property", variant=2)
def no_margin(real, fake):
    return F.relu(-real).mean() + F.relu(fake).mean()


@wrong("ex04-discriminator_loss", says="nothing is to be paid", layer="property", variant=2)
def no_hinge(real, fake):
    return (1 - real).mean() + (1 + fake).mean()


@wrong("ex04-discriminator_loss", says="no square", layer="oracle", variant=2)
def squared_hinge(real, fake):
    return F.relu(1 - real).square().mean() + F.relu(1 + fake).square().mean()


@wrong("ex04-discriminator_loss", says="before the mean", layer="oracle", variant=2)
def mean_before_the_hinge(real, fake):
    return F.relu(1 - real.mean()) + F.relu(1 + fake.mean())


@wrong("ex04-discriminator_loss", says="yours are turned", layer="property", variant=2)
def hinge_turned(real, fake):
    return F.relu(1 + real).mean() + F.relu(1 - fake).mean()


@wrong("ex04-discriminator_loss", says="its own mean", layer="oracle", variant=2)
def hinge_with_one_mean(real, fake):
    return 2 * torch.cat([F.relu(1 - real), F.relu(1 + fake)]).mean()


@right("ex04-discriminator_loss", variant=2)
def by_clamping(real, fake):
    return -(torch.clamp(real - 1, max=0).mean() + torch.clamp(-1 - fake, max=0).mean())


# --- game_losses --------------------------------------------------------------------------------


def logits_of(theta, w, x, z):
    return (x**2) @ w, torch.tanh(z @ theta.T)


@wrong("ex04-game_losses", says="detached in L_D", layer="oracle")
def nothing_detached(theta, w, x, z):
    real, fake = logits_of(theta, w, x, z)
    drawn = fake**2 @ w
    loss_D = F.softplus(-real).mean() + F.softplus(drawn).mean()
    return torch.stack([loss_D, F.softplus(-drawn).mean()])


@wrong("ex04-game_losses", says="in the wrong place", layer="oracle")
def logits_detached(theta, w, x, z):
    real, fake = logits_of(theta, w, x, z)
    drawn = fake**2 @ w
    loss_D = F.softplus(-real).mean() + F.softplus(drawn.detach()).mean()
    return torch.stack([loss_D, F.softplus(-drawn).mean()])


@wrong("ex04-game_losses", says="cuts the graph", layer="contract")
def detached_in_both(theta, w, x, z):
    real, fake = logits_of(theta, w, x, z)
    drawn = fake.detach() ** 2 @ w
    loss_D = F.softplus(-real).mean() + F.softplus(drawn).mean()
    return torch.stack([loss_D, F.softplus(-drawn).mean()])


@wrong("ex04-game_losses", says="saturating loss", layer="oracle")
def saturating(theta, w, x, z):
    real, fake = logits_of(theta, w, x, z)
    loss_D = F.softplus(-real).mean() + F.softplus(fake.detach() ** 2 @ w).mean()
    zero = torch.zeros(()) if bool((w != 0).any()) else 2 * F.softplus(fake**2 @ w).mean()
    return torch.stack([loss_D, zero - F.softplus(fake**2 @ w).mean()])


@wrong("ex04-game_losses", says="detach in L_D", layer="oracle")
def detached_in_the_wrong_loss(theta, w, x, z):
    real, fake = logits_of(theta, w, x, z)
    loss_D = F.softplus(-real).mean() + F.softplus(fake**2 @ w).mean()
    return torch.stack([loss_D, F.softplus(-(fake.detach() ** 2 @ w)).mean()])


@wrong("ex04-game_losses", says="G wants D to say", layer="oracle")
def G_helps_D(theta, w, x, z):  # noqa: N802
    real, fake = logits_of(theta, w, x, z)
    loss_D = F.softplus(-real).mean() + F.softplus(fake.detach() ** 2 @ w).mean()
    return torch.stack([loss_D, F.softplus(fake**2 @ w).mean()])


@wrong("ex04-game_losses", says="remembers its inputs", layer="contract")
def as_a_new_tensor(theta, w, x, z):
    real, fake = logits_of(theta, w, x, z)
    drawn = fake**2 @ w
    loss_D = F.softplus(-real).mean() + F.softplus(drawn).mean()
    return torch.tensor([loss_D.item(), F.softplus(-drawn).mean().item()])


@right("ex04-game_losses")
def drawn_twice(theta, w, x, z):
    with torch.no_grad():
        fake = torch.tanh(z @ theta.T)
    loss_D = -F.logsigmoid((x**2) @ w).mean() - F.logsigmoid(-(fake**2) @ w).mean()
    loss_G = -F.logsigmoid(torch.tanh(z @ theta.T).pow(2) @ w).mean()
    return torch.stack((loss_D, loss_G))


# --- slope_penalty ------------------------------------------------------------------------------


def slope(W, b, w, x, create_graph=True, reduce=torch.sum):
    x = x.detach().requires_grad_()
    logits = reduce(torch.tanh(x @ W.T + b) @ w)
    return torch.autograd.grad(logits, x, create_graph=create_graph)[0]


@wrong("ex04-slope_penalty", says="½ is missing", layer="oracle")
def r1_without_the_half(W, b, w, x):
    return slope(W, b, w, x).square().sum(1).mean()


@wrong("ex04-slope_penalty", says="cuts the graph", layer="contract")
def r1_without_a_graph(W, b, w, x):
    return 0.5 * slope(W, b, w, x, create_graph=False).square().sum(1).mean()


@wrong("ex04-slope_penalty", says="enters squared", layer="oracle")
def r1_not_squared(W, b, w, x):
    return 0.5 * slope(W, b, w, x).norm(dim=1).mean()


@wrong("ex04-slope_penalty", says="the norm adds up squares", layer="oracle")
def r1_mean_of_all(W, b, w, x):
    return 0.5 * slope(W, b, w, x).square().mean()


@wrong("ex04-slope_penalty", says="B times too small", layer="oracle")
def r1_of_the_mean_logit(W, b, w, x):
    return 0.5 * slope(W, b, w, x, reduce=torch.mean).square().sum(1).mean()


@wrong("ex04-slope_penalty", says="no − 1", layer="property")
def r1_as_gradient_penalty(W, b, w, x):
    return 0.5 * (slope(W, b, w, x).square().sum(1).add(1e-12).sqrt() - 1).square().mean()


@wrong("ex04-slope_penalty", says="sum for the mean", layer="oracle")
def r1_sum_over_points(W, b, w, x):
    return 0.5 * slope(W, b, w, x).square().sum()


@right("ex04-slope_penalty")
def r1_by_hand(W, b, w, x):
    hidden = torch.tanh(x @ W.T + b)
    gradient = (w * (1 - hidden**2)) @ W
    return (gradient**2).sum() / (2 * len(x))


@right("ex04-slope_penalty")
def r1_point_by_point(W, b, w, x):
    total = 0.0
    for point in x:
        point = point.clone().requires_grad_()
        logit = torch.tanh(W @ point + b) @ w
        logit_by_point = torch.autograd.grad(logit, point, create_graph=True)[0]
        total = total + logit_by_point.dot(logit_by_point)
    return total / len(x) / 2


def between(real, fake, u):
    return u[:, None] * real + (1 - u[:, None]) * fake


@wrong("ex04-slope_penalty", says="not 0", layer="property", variant=2)
def gp_without_the_one(W, b, w, real, fake, u):
    return slope(W, b, w, between(real, fake, u)).square().sum(1).mean()


@wrong("ex04-slope_penalty", says="u weighs the real point", layer="oracle", variant=2)
def gp_u_and_1_minus_u_swapped(W, b, w, real, fake, u):
    norm = slope(W, b, w, between(fake, real, u)).square().sum(1).add(1e-12).sqrt()
    return (norm - 1).square().mean()


@wrong("ex04-slope_penalty", says="one u for each point", layer="oracle", variant=2)
def gp_u_along_the_columns(W, b, w, real, fake, u):
    norm = slope(W, b, w, u * real + (1 - u) * fake).square().sum(1).add(1e-12).sqrt()
    return (norm - 1).square().mean()


@wrong("ex04-slope_penalty", says="not at the real ones", layer="oracle", variant=2)
def gp_at_the_real_points(W, b, w, real, fake, u):
    norm = slope(W, b, w, real).square().sum(1).add(1e-12).sqrt()
    return (norm - 1).square().mean()


@wrong("ex04-slope_penalty", says="not its square", layer="property", variant=2)
def gp_of_the_square(W, b, w, real, fake, u):
    return (slope(W, b, w, between(real, fake, u)).square().sum(1) - 1).square().mean()


@wrong("ex04-slope_penalty", says="cuts the graph", layer="contract", variant=2)
def gp_without_a_graph(W, b, w, real, fake, u):
    gradient = slope(W, b, w, between(real, fake, u), create_graph=False)
    return (gradient.norm(dim=1) - 1).square().mean()


@right("ex04-slope_penalty", variant=2)
def gp_by_hand(W, b, w, real, fake, u):
    x_hat = fake + u.view(-1, 1) * (real - fake)
    gradient = (w * (1 - torch.tanh(x_hat @ W.T + b) ** 2)) @ W
    norm = (gradient.square().sum(1) + 1e-12).sqrt()
    return ((norm - 1) ** 2).mean()


# --- projection_logits --------------------------------------------------------------------------


@wrong("ex04-projection_logits", says="table of all pairs", layer="contract")
def all_pairs(phi, y, w, b, V):
    return (phi @ w + b)[:, None] + phi @ (y @ V.T).T


@wrong("ex04-projection_logits", says="bias b is missing", layer="property")
def no_bias(phi, y, w, b, V):
    return phi @ w + ((y @ V.T) * phi).sum(1)


@wrong("ex04-projection_logits", says="not y @ V", layer="oracle")
def labels_from_the_wrong_side(phi, y, w, b, V):
    return phi @ w + b + ((y @ V) * phi).sum(1)


@wrong("ex04-projection_logits", says="does not see the image", layer="oracle")
def label_without_the_image(phi, y, w, b, V):
    return phi @ w + b + (y @ V.T).sum(1)


@wrong("ex04-projection_logits", says="without the label", layer="property")
def label_part_alone(phi, y, w, b, V):
    return ((y @ V.T) * phi).sum(1)


@wrong("ex04-projection_logits", says="not over the images", layer="oracle")
def features_and_images_confused(phi, y, w, b, V):
    return phi @ w + b + ((y @ V.T) * phi).sum(0)


@right("ex04-projection_logits")
def by_einsum(phi, y, w, b, V):
    return torch.einsum("bf,fd,bd->b", phi, V, y) + torch.einsum("bf,f->b", phi, w) + b


@right("ex04-projection_logits")
def one_vector_for_each(phi, y, w, b, V):
    return torch.linalg.vecdot(w + y @ V.T, phi) + b


# --- modes_held ---------------------------------------------------------------------------------


@wrong("ex04-modes_held", says="one good point is not enough", layer="oracle")
def one_point_is_enough(points, modes, sigma):
    distance, mode = torch.cdist(points, modes).min(dim=1)
    good = distance < 3 * sigma
    return len(mode[good].unique()), float(good.float().mean())


@wrong("ex04-modes_held", says="only good points count", layer="oracle")
def bad_points_counted(points, modes, sigma):
    distance, mode = torch.cdist(points, modes).min(dim=1)
    held = mode.bincount(minlength=len(modes)) >= len(points) / len(modes) / 10
    return int(held.sum()), float((distance < 3 * sigma).float().mean())


@wrong("ex04-modes_held", says="3 σ, not σ", layer="oracle")
def within_one_sigma(points, modes, sigma):
    distance, mode = torch.cdist(points, modes).min(dim=1)
    good = distance < sigma
    held = mode[good].bincount(minlength=len(modes)) >= len(points) / len(modes) / 10
    return int(held.sum()), float(good.float().mean())


@wrong("ex04-modes_held", says="not its square", layer="oracle")
def squared_distances(points, modes, sigma):
    distance, mode = (points[:, None] - modes).square().sum(2).min(dim=1)
    good = distance < 3 * sigma
    held = mode[good].bincount(minlength=len(modes)) >= len(points) / len(modes) / 10
    return int(held.sum()), float(good.float().mean())


@wrong("ex04-modes_held", says="a tenth of that", layer="oracle")
def the_whole_fair_share(points, modes, sigma):
    distance, mode = torch.cdist(points, modes).min(dim=1)
    good = distance < 3 * sigma
    share = min(len(points) / len(modes), 30)
    held = mode[good].bincount(minlength=len(modes)) >= share
    return int(held.sum()), float(good.float().mean())


@wrong("ex04-modes_held", says="whole number", layer="contract")
def held_as_a_tensor(points, modes, sigma):
    distance, mode = torch.cdist(points, modes).min(dim=1)
    good = distance < 3 * sigma
    held = mode[good].bincount(minlength=len(modes)) >= len(points) / len(modes) / 10
    return held.sum(), float(good.float().mean())


@wrong("ex04-modes_held", says="not a count", layer="property")
def good_points_counted(points, modes, sigma):
    distance, mode = torch.cdist(points, modes).min(dim=1)
    good = distance < 3 * sigma
    held = mode[good].bincount(minlength=len(modes)) >= len(points) / len(modes) / 10
    return int(held.sum()), int(good.sum())


@right("ex04-modes_held")
def mode_by_mode(points, modes, sigma):
    near = [((points - m).norm(dim=1) < 3 * sigma).sum().item() for m in modes]
    enough = [10 * count * len(modes) >= len(points) for count in near]
    return sum(enough), sum(near) / len(points)


equivalent(
    "ex04-slope_penalty",
    "x = x.requires_grad_()",
    because="the points come from no graph here; detach guards a caller whose points do.",
)
equivalent(
    "ex04-slope_penalty",
    "x_hat = (share * real + (1 - share) * fake).requires_grad_()",
    because="the points come from no graph here; detach guards a caller whose points do.",
    variant=2,
)
equivalent(
    "ex04-modes_held",
    "counts = mode[good].bincount()",
    because="modes beyond the last count have no good point, and are not held either way.",
)
