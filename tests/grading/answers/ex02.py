"""Known answers of exercise 02."""

import math

import torch
import torch.nn.functional as F
from known_answers import right, wrong
from torch.distributions import Bernoulli, Normal, kl_divergence

# --- reparameterise -----------------------------------------------------------------------------


@wrong("ex02-reparameterise", says="is the variance σ²", layer="oracle")
def variance_for_deviation(mu, logvar, eps):
    return mu + logvar.exp() * eps


@wrong("ex02-reparameterise", says="not σ: take exp(logvar / 2)", layer="oracle")
def logvar_for_deviation(mu, logvar, eps):
    return mu + logvar * eps


@wrong("ex02-reparameterise", says="the exponent is halved", layer="oracle")
def exponent_doubled(mu, logvar, eps):
    return mu + torch.exp(2 * logvar) * eps


@wrong("ex02-reparameterise", says="take the exponential", layer="oracle")
def no_exponential(mu, logvar, eps):
    return mu + 0.5 * logvar * eps


@wrong("ex02-reparameterise", says="cuts the graph", layer="contract")
def deviation_detached(mu, logvar, eps):
    return mu + torch.exp(0.5 * logvar).detach() * eps


@wrong("ex02-reparameterise", says="changed in place", layer="contract")
def in_place(mu, logvar, eps):
    return eps.mul_(torch.exp(0.5 * logvar)).add_(mu)


@wrong("ex02-reparameterise", says="the mean μ is not added", layer="property")
def mean_forgotten(mu, logvar, eps):
    return torch.exp(0.5 * logvar) * eps


@right("ex02-reparameterise")
def by_the_square_root(mu, logvar, eps):
    return torch.addcmul(mu, logvar.exp().sqrt(), eps)


@wrong("ex02-reparameterise", says="ρ itself may be negative", layer="oracle", variant=2)
def rho_for_deviation(mu, rho, eps):
    return mu + rho * eps


@wrong("ex02-reparameterise", says="not exp(ρ)", layer="oracle", variant=2)
def exponential_for_softplus(mu, rho, eps):
    return mu + rho.exp() * eps


@wrong("ex02-reparameterise", says="no log σ²", layer="oracle", variant=2)
def as_log_variance(mu, rho, eps):
    return mu + torch.exp(0.5 * rho) * eps


@wrong("ex02-reparameterise", says="no square root", layer="oracle", variant=2)
def root_of_softplus(mu, rho, eps):
    return mu + F.softplus(rho).sqrt() * eps


@wrong("ex02-reparameterise", says="no softplus", layer="oracle", variant=2)
def relu_for_softplus(mu, rho, eps):
    return mu + F.relu(rho) * eps


@right("ex02-reparameterise", variant=2)
def by_log1p(mu, rho, eps):
    return mu + torch.log1p(torch.exp(rho)) * eps


# --- kl -----------------------------------------------------------------------------------------


@wrong("ex02-kl", says="mean for the sum", layer="oracle")
def mean_over_latents(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).mean(dim=1)


@wrong("ex02-kl", says="factor ½ is missing", layer="oracle")
def without_the_half(mu, logvar):
    return (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)


@wrong("ex02-kl", says="KL(p ‖ q)", layer="oracle")
def the_other_way_round(mu, logvar):
    return 0.5 * ((mu**2 + 1) / logvar.exp() + logvar - 1).sum(dim=1)


@wrong("ex02-kl", says="one KL for each image", layer="contract")
def all_added_up(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum()


@wrong("ex02-kl", says="not the images (dim=0)", layer="contract")
def images_added_up(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=0)


@wrong("ex02-kl", says="− 1 is missing", layer="property")
def without_the_one(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar).sum(dim=1)


@wrong("ex02-kl", says="exp(logvar / 2) is σ", layer="oracle")
def deviation_for_variance(mu, logvar):
    return 0.5 * (mu**2 + (0.5 * logvar).exp() - logvar - 1).sum(dim=1)


@wrong("ex02-kl", says="never negative", layer="oracle")
def sign_turned(mu, logvar):
    return -0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)


@right("ex02-kl")
def by_torch_distributions(mu, logvar):
    q = Normal(mu, torch.exp(0.5 * logvar))
    return kl_divergence(q, Normal(torch.zeros_like(mu), 1.0)).sum(-1)


@wrong("ex02-kl", says="log s² is missing", layer="property", variant=2)
def without_log_s(mu, logvar, s):
    return 0.5 * ((mu**2 + logvar.exp()) / s**2 - logvar - 1).sum(dim=1)


@wrong("ex02-kl", says="divide it by s²", layer="oracle", variant=2)
def mean_not_in_units_of_s(mu, logvar, s):
    return 0.5 * (mu**2 + logvar.exp() / s**2 - logvar + 2 * math.log(s) - 1).sum(dim=1)


@wrong("ex02-kl", says="the variance s²", layer="property", variant=2)
def divided_by_s(mu, logvar, s):
    return 0.5 * ((mu**2 + logvar.exp()) / s - logvar + 2 * math.log(s) - 1).sum(dim=1)


@wrong("ex02-kl", says="mean for the sum", layer="oracle", variant=2)
def mean_over_latents_2(mu, logvar, s):
    return 0.5 * ((mu**2 + logvar.exp()) / s**2 - logvar + 2 * math.log(s) - 1).mean(dim=1)


@wrong("ex02-kl", says="KL(p ‖ q)", layer="oracle", variant=2)
def the_other_way_round_2(mu, logvar, s):
    return 0.5 * ((mu**2 + s**2) / logvar.exp() + logvar - 2 * math.log(s) - 1).sum(dim=1)


@wrong("ex02-kl", says="inside the sum", layer="property", variant=2)
def one_taken_off_once(mu, logvar, s):
    terms = (mu**2 + logvar.exp()) / s**2 - logvar + 2 * math.log(s)
    return 0.5 * (terms.sum(dim=1) - 1)


@right("ex02-kl", variant=2)
def in_units_of_the_prior(mu, logvar, s):
    ratio = logvar - math.log(s**2)
    return (0.5 * ((mu / s).square() + ratio.exp() - 1 - ratio)).sum(-1)


# --- nll ----------------------------------------------------------------------------------------


@wrong("ex02-nll", says="softplus", layer="contract")
def by_logarithms(x, logits):
    p = torch.sigmoid(logits)
    terms = -(x * p.log() + (1 - x) * (1 - p).log())
    return terms.nan_to_num(nan=math.inf).sum(dim=1)


@wrong("ex02-nll", says="clamp hides", layer="oracle")
def by_clamped_logarithms(x, logits):
    p = torch.sigmoid(logits.double()).clamp(1e-7, 1 - 1e-7)
    return -(x * p.log() + (1 - x) * (1 - p).log()).sum(dim=1)


@wrong("ex02-nll", says="mean for the sum", layer="property")
def mean_over_pixels(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").mean(dim=1)


@wrong("ex02-nll", says="sum over the pixels", layer="contract")
def over_images(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=0)


@wrong("ex02-nll", says="one number for each image", layer="contract")
def one_number(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


@wrong("ex02-nll", says="the product is taken off", layer="oracle")
def product_added(x, logits):
    return (F.softplus(logits) + x * logits).sum(dim=1)


@wrong("ex02-nll", says="without the minus", layer="oracle")
def softplus_of_minus(x, logits):
    return (F.softplus(-logits) - x * logits).sum(dim=1)


@wrong("ex02-nll", says="The grey value x itself", layer="oracle")
def black_or_white(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x.round(), reduction="none").sum(dim=1)


@right("ex02-nll")
def by_logsigmoid(x, logits):
    return -(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)


@right("ex02-nll")
def by_a_distribution(x, logits):
    return -Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(1)


@wrong("ex02-nll", says="½ log 2π is missing", layer="property", variant=2)
def without_2_pi(x, m, s):
    return ((x - m) ** 2 / (2 * s**2) + math.log(s)).sum(dim=1)


@wrong("ex02-nll", says="log s is missing", layer="property", variant=2)
def without_log_s_nll(x, m, s):
    return ((x - m) ** 2 / (2 * s**2) + 0.5 * math.log(2 * math.pi)).sum(dim=1)


@wrong("ex02-nll", says="by the variance", layer="oracle", variant=2)
def squares_over_s(x, m, s):
    return ((x - m) ** 2 / (2 * s) + math.log(s) + 0.5 * math.log(2 * math.pi)).sum(dim=1)


@wrong("ex02-nll", says="half of it", layer="oracle", variant=2)
def squares_not_halved(x, m, s):
    return ((x - m) ** 2 / s**2 + math.log(s) + 0.5 * math.log(2 * math.pi)).sum(dim=1)


@wrong("ex02-nll", says="7 times here", layer="property", variant=2)
def gaussian_mean(x, m, s):
    return ((x - m) ** 2 / (2 * s**2) + math.log(s) + 0.5 * math.log(2 * math.pi)).mean(dim=1)


@wrong("ex02-nll", says="squared error", layer="property", variant=2)
def squares_only(x, m, s):
    return ((x - m) ** 2).sum(dim=1)


@right("ex02-nll", variant=2)
def by_normal(x, m, s):
    return -Normal(m, s).log_prob(x).sum(dim=-1)


# --- vae_loss -----------------------------------------------------------------------------------


def parts(encoder, decoder, x, eps):
    mu, logvar = encoder(x).chunk(2, dim=1)
    logits = decoder(mu + torch.exp(0.5 * logvar) * eps)
    each = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return each, 0.5 * (mu**2 + logvar.exp() - logvar - 1)


@wrong("ex02-vae_loss", says="mean for sum over the pixels", layer="property")
def pixels_averaged(encoder, decoder, x, eps, beta):
    each, kl = parts(encoder, decoder, x, eps)
    return each.mean() + beta * kl.sum(1).mean()


@wrong("ex02-vae_loss", says="mean over the latents", layer="oracle")
def latents_averaged(encoder, decoder, x, eps, beta):
    each, kl = parts(encoder, decoder, x, eps)
    return each.sum(1).mean() + beta * kl.mean()


@wrong("ex02-vae_loss", says="sum for mean", layer="property")
def images_summed(encoder, decoder, x, eps, beta):
    each, kl = parts(encoder, decoder, x, eps)
    return each.sum() + beta * kl.sum()


@wrong("ex02-vae_loss", says="not the reconstruction", layer="property")
def beta_on_the_other(encoder, decoder, x, eps, beta):
    each, kl = parts(encoder, decoder, x, eps)
    return beta * each.sum(1).mean() + kl.sum(1).mean()


@wrong("ex02-vae_loss", says="μ first", layer="oracle")
def halves_swapped(encoder, decoder, x, eps, beta):
    each, kl = parts(lambda v: encoder(v).roll(eps.shape[1], dims=1), decoder, x, eps)
    return (each.sum(1) + beta * kl.sum(1)).mean()


@wrong("ex02-vae_loss", says="not μ alone", layer="oracle")
def without_noise(encoder, decoder, x, eps, beta):
    each, kl = parts(encoder, decoder, x, 0 * eps)
    return (each.sum(1) + beta * kl.sum(1)).mean()


@wrong("ex02-vae_loss", says="negative ELBO", layer="oracle")
def kl_taken_off(encoder, decoder, x, eps, beta):
    each, kl = parts(encoder, decoder, x, eps)
    return (each.sum(1) - beta * kl.sum(1)).mean()


@right("ex02-vae_loss")
def by_torch(encoder, decoder, x, eps, beta):
    half = eps.shape[1]
    out = encoder(x)
    q = Normal(out[:, :half], (out[:, half:] / 2).exp())
    logits = decoder(q.loc + q.scale * eps)
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (bce + beta * kl_divergence(q, Normal(0.0, 1.0)).sum()) / len(x)


# --- bits_per_pixel -----------------------------------------------------------------------------


@wrong("ex02-bits_per_pixel", says="divide by log 2 to get bits", layer="property")
def nats_per_pixel(nll, pixels):
    return nll / pixels + math.log(256)


@wrong("ex02-bits_per_pixel", says="log 256 is missing", layer="property")
def density_alone(nll, pixels):
    return nll / pixels / math.log(2)


@wrong("ex02-bits_per_pixel", says="by log 2, too", layer="oracle")
def half_converted(nll, pixels):
    return nll / pixels + math.log2(256)


@wrong("ex02-bits_per_pixel", says="not once for an image", layer="property")
def bin_once_an_image(nll, pixels):
    return (nll + math.log(256)) / pixels / math.log(2)


@wrong("ex02-bits_per_pixel", says="by its number of pixels", layer="oracle")
def bits_an_image(nll, pixels):
    return (nll + math.log(256)) / math.log(2)


@wrong("ex02-bits_per_pixel", says="256 grey values", layer="property")
def bins_of_255(nll, pixels):
    return (nll / pixels + math.log(255)) / math.log(2)


@wrong("ex02-bits_per_pixel", says="costs more bits", layer="oracle")
def sign_of_the_nats(nll, pixels):
    return 8 - nll / pixels / math.log(2)


@right("ex02-bits_per_pixel")
def eight_bits_more(nll, pixels):
    return 8 + nll / (pixels * math.log(2))
