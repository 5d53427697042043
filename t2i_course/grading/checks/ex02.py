"""The checks of exercise 02: the variational autoencoder."""

import torch

from t2i_course.grading.checking import Checking, task


@task(
    "ex02-reparameterise",
    equation="z = μ + σ ε with σ = exp(½ log σ²)",
    points=2,
    reference="t2i_course.models.vae:reparameterise",
)
def check_reparameterise(c: Checking) -> None:
    mu, logvar, eps = c.draw.normal(6, 3), c.draw.normal(6, 3), c.draw.normal(6, 3)
    case = "a batch of 6 with 3 latents"
    z = c.answer(mu, logvar, eps)
    c.tensor(z, (6, 3), case, torch.float32)
    c.close(c.answer(mu, logvar, 0 * eps), mu, "ε = 0", layer="property")
    gradients = c.answer.gradients(mu, logvar, eps, wrt=(0, 1))
    sigma = (0.5 * logvar).exp()
    slips = {
        "exp(logvar) is the variance σ²; ε is multiplied by the standard deviation σ.": mu
        + logvar.exp() * eps,
        "logvar is log σ², not σ: take exp(logvar / 2).": mu + logvar * eps,
        "exp(2 · logvar)? σ is the square root of σ², so the exponent is halved.": mu
        + (2 * logvar).exp() * eps,
    }
    c.close(z, mu + sigma * eps, case, slips=slips)
    c.close(gradients[1], 0.5 * sigma * eps, "the gradient of the sum of z by logvar")
