"""Known answers of exercise 01."""

import torch
from known_answers import equivalent, right, wrong

# --- as_input -----------------------------------------------------------------------------------


@wrong("ex01-as_input", says="not by 256")
def divided_by_256(u):
    return u.float().unsqueeze(1) / 256


@wrong("ex01-as_input", says="u.max()", layer="oracle")
def divided_by_the_largest(u):
    return u.float().unsqueeze(1) / u.max()


@wrong("ex01-as_input", says="change from batch to batch", layer="oracle")
def stretched(u):
    f = u.float().unsqueeze(1)
    return (f - f.min()) / (f.max() - f.min())


@wrong("ex01-as_input", says="the second one", layer="contract")
def no_channel(u):
    return u.float() / 255


@wrong("ex01-as_input", says="not last", layer="contract")
def channel_last(u):
    return u.float()[..., None] / 255


@wrong("ex01-as_input", says="torch.float32", layer="contract")
def whole_numbers(u):
    return u.unsqueeze(1) // 255


@wrong("ex01-as_input", says="the range [-1, 1]; here it is [0, 1]", layer="property")
def for_a_tanh(u):
    return 2 * u.float().unsqueeze(1) / 255 - 1


@right("ex01-as_input")
def by_none(u):
    return torch.mul(u[:, None], 1 / 255)


@wrong("ex01-as_input", says="mixes the colours", layer="oracle", variant=2)
def colours_reshaped(u):
    B, H, W, C = u.shape
    return 2 * u.float().reshape(B, C, H, W) / 255 - 1


@wrong("ex01-as_input", says="here it is [-1, 1]", layer="property", variant=2)
def from_0_to_1(u):
    return u.float().permute(0, 3, 1, 2) / 255


@wrong("ex01-as_input", says="does not widen", layer="property", variant=2)
def only_moved(u):
    return u.float().permute(0, 3, 1, 2) / 255 - 1


@wrong("ex01-as_input", says="u.max()", layer="oracle", variant=2)
def divided_by_the_largest_colour(u):
    return 2 * u.float().permute(0, 3, 1, 2) / u.max() - 1


@wrong("ex01-as_input", says="the second one", layer="contract", variant=2)
def colours_last(u):
    return 2 * u.float() / 255 - 1


@right("ex01-as_input", variant=2)
def about_the_middle(u):
    return (u.movedim(-1, 1) - 127.5) / 127.5


# --- autoencoder_loss ---------------------------------------------------------------------------


@wrong("ex01-autoencoder_loss", says="sigmoid makes it a picture", layer="property")
def no_sigmoid(encoder, decoder, x):
    rows = x.flatten(1)
    return ((decoder(encoder(rows)) - rows) ** 2).mean()


@wrong("ex01-autoencoder_loss", says="sum for mean", layer="oracle")
def squares_added(encoder, decoder, x):
    rows = x.flatten(1)
    return ((torch.sigmoid(decoder(encoder(rows))) - rows) ** 2).sum()


@wrong("ex01-autoencoder_loss", says="divide by the pixels too", layer="oracle")
def pixels_added(encoder, decoder, x):
    rows = x.flatten(1)
    return ((torch.sigmoid(decoder(encoder(rows))) - rows) ** 2).sum(1).mean()


@wrong("ex01-autoencoder_loss", says="absolute errors", layer="oracle")
def absolute_errors(encoder, decoder, x):
    rows = x.flatten(1)
    return (torch.sigmoid(decoder(encoder(rows))) - rows).abs().mean()


@wrong("ex01-autoencoder_loss", says="no root", layer="oracle")
def root_of_the_mean(encoder, decoder, x):
    rows = x.flatten(1)
    return torch.nn.functional.mse_loss(torch.sigmoid(decoder(encoder(rows))), rows).sqrt()


@wrong("ex01-autoencoder_loss", says="one number", layer="contract")
def one_for_each_image(encoder, decoder, x):
    rows = x.flatten(1)
    error = (torch.sigmoid(decoder(encoder(rows))) - rows) ** 2
    return error.mean(1) if len(x) > 1 and error.max() > 1e-6 else error.mean()


@wrong("ex01-autoencoder_loss", says="after the decoder", layer="oracle")
def sigmoid_on_the_code(encoder, decoder, x):
    rows = x.flatten(1)
    return ((decoder(torch.sigmoid(encoder(rows))) - rows) ** 2).mean()


@right("ex01-autoencoder_loss")
def in_the_shape_of_pictures(encoder, decoder, x):
    x_hat = decoder(encoder(x.reshape(len(x), -1))).sigmoid().view_as(x)
    return torch.nn.functional.mse_loss(x_hat, x)


# --- pca ----------------------------------------------------------------------------------------


@wrong("ex01-pca", says="rising order", layer="oracle")
def smallest_eigenvalues(x, D):
    m = x.mean(0)
    Q = torch.linalg.eigh((x - m).T @ (x - m)).eigenvectors[:, :D]
    return m + (x - m) @ Q @ Q.T


@wrong("ex01-pca", says="is not put back", layer="property")
def mean_left_out(x, D):
    centred = x - x.mean(0)
    Q = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -D:]
    return centred @ Q @ Q.T


@wrong("ex01-pca", says="take the mean off first")
def never_centred(x, D):
    Q = torch.linalg.eigh(x.T @ x).eigenvectors[:, -D:]
    return x @ Q @ Q.T


@wrong("ex01-pca", says="not its rows", layer="oracle")
def rows_for_columns(x, D):
    m = x.mean(0)
    Q = torch.linalg.eigh((x - m).T @ (x - m)).eigenvectors
    return m + (x - m) @ Q[-D:].T @ Q[-D:]


@wrong("ex01-pca", says="correlation", layer="oracle")
def of_the_correlation(x, D):
    m, s = x.mean(0), x.std(0)
    Q = torch.linalg.eigh(((x - m) / s).T @ ((x - m) / s)).eigenvectors[:, -D:]
    return m + ((x - m) / s) @ Q @ Q.T * s


@wrong("ex01-pca", says="go back to P", layer="contract")
def only_the_code(x, D):
    centred = x - x.mean(0)
    return centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -D:]


@right("ex01-pca")
def by_singular_values(x, D):
    m = x.mean(dim=0, keepdim=True)
    U, S, Vh = torch.linalg.svd(x - m, full_matrices=False)
    return m + (U[:, :D] * S[:D]) @ Vh[:D]


# --- smallest_size ------------------------------------------------------------------------------


@wrong("ex01-smallest_size", says="need not be the smallest", layer="oracle")
def first_that_fits(sizes, errors, mean_error, share):
    for size, error in zip(sizes, errors, strict=True):
        if 1 - error / mean_error >= share:
            return size
    return max(sizes)


@wrong("ex01-smallest_size", says="the best error is not asked for", layer="oracle")
def with_the_best_error(sizes, errors, mean_error, share):
    return sizes[errors.index(min(errors))]


@wrong("ex01-smallest_size", says="keeps exactly the share", layer="oracle")
def more_than_the_share(sizes, errors, mean_error, share):
    good = [s for s, e in zip(sizes, errors, strict=True) if 1 - e / mean_error > share]
    return min(good, default=max(sizes))


@wrong("ex01-smallest_size", says="1 − error", layer="oracle")
def share_of_the_error(sizes, errors, mean_error, share):
    good = [s for s, e in zip(sizes, errors, strict=True) if e / mean_error <= share]
    return min(good, default=max(sizes))


@wrong("ex01-smallest_size", says="empty", layer="contract")
def none_is_enough(sizes, errors, mean_error, share):
    return min(s for s, e in zip(sizes, errors, strict=True) if 1 - e / mean_error >= share)


@wrong("ex01-smallest_size", says="divide by the mean picture's error", layer="oracle")
def error_as_share(sizes, errors, mean_error, share):
    good = [s for s, e in zip(sizes, errors, strict=True) if 1 - e >= share]
    return min(good, default=max(sizes))


@wrong("ex01-smallest_size", says="not its place", layer="property")
def the_place(sizes, errors, mean_error, share):
    good = [i for i, e in enumerate(errors) if 1 - e / mean_error >= share]
    return min(good, key=lambda i: sizes[i], default=sizes.index(max(sizes)))


@right("ex01-smallest_size")
def in_order_of_size(sizes, errors, mean_error, share):
    for size, error in sorted(zip(sizes, errors, strict=True)):
        if mean_error - error >= share * mean_error:
            return size
    return sorted(sizes)[-1]


@wrong("ex01-smallest_size", says="the best error is not asked for", layer="oracle", variant=2)
def size_of_the_best_error(sizes, errors, tolerance):
    return sizes[errors.index(min(errors))]


@wrong("ex01-smallest_size", says="a share of the best error", layer="oracle", variant=2)
def tolerance_added(sizes, errors, tolerance):
    limit = min(errors) + tolerance
    return min(s for s, e in zip(sizes, errors, strict=True) if e <= limit)


@wrong("ex01-smallest_size", says="need not be the smallest", layer="oracle", variant=2)
def first_within_the_limit(sizes, errors, tolerance):
    limit = min(errors) * (1 + tolerance)
    return next(s for s, e in zip(sizes, errors, strict=True) if e <= limit)


@wrong("ex01-smallest_size", says="not the largest", layer="oracle", variant=2)
def largest_within_the_limit(sizes, errors, tolerance):
    limit = min(errors) * (1 + tolerance)
    return max(s for s, e in zip(sizes, errors, strict=True) if e < limit)


@wrong("ex01-smallest_size", says="≤, not <", layer="oracle", variant=2)
def below_the_limit(sizes, errors, tolerance):
    limit = min(errors) * (1 + tolerance)
    return min((s for s, e in zip(sizes, errors, strict=True) if e < limit), default=None)


@right("ex01-smallest_size", variant=2)
def by_ratios(sizes, errors, tolerance):
    best, found = min(errors), max(sizes)
    for size, error in zip(sizes, errors, strict=True):
        if error / best <= 1 + tolerance and size < found:
            found = size
    return found


equivalent(
    "ex01-smallest_size",
    "return min((size for size, error in zip(sizes, errors) if error <= limit))",
    because="`strict` only guards against lists of different lengths, which no caller gives.",
    variant=2,
)
equivalent(
    "ex01-smallest_size",
    "return min((size for size, error in zip(sizes, errors, strict=False) if error <= limit))",
    because="`strict` only guards against lists of different lengths, which no caller gives.",
    variant=2,
)
equivalent(
    "ex01-smallest_size",
    "good = [size for size, error in zip(sizes, errors) if 1 - error / mean_error >= share]",
    because="`strict` only guards against lists of different lengths, which no caller gives.",
)
equivalent(
    "ex01-smallest_size",
    "good = [size for size, error in zip(sizes, errors, strict=False)"
    " if 1 - error / mean_error >= share]",
    because="`strict` only guards against lists of different lengths, which no caller gives.",
)

# --- draw_codes ---------------------------------------------------------------------------------


@wrong("ex01-draw_codes", says="a root R", layer="oracle")
def covariance_for_its_root(codes, eps):
    return codes.mean(0) + eps @ codes.T.cov()


@wrong("ex01-draw_codes", says="from the wrong side", layer="oracle")
def root_not_transposed(codes, eps):
    return codes.mean(0) + eps @ torch.linalg.cholesky(codes.T.cov())


@wrong("ex01-draw_codes", says="correlations are lost", layer="oracle")
def each_by_its_own_deviation(codes, eps):
    return codes.mean(0) + eps * codes.std(0)


@wrong("ex01-draw_codes", says="divides by N − 1", layer="oracle")
def divided_by_the_count(codes, eps):
    m = codes.mean(0)
    S = (codes - m).T @ (codes - m) / len(codes)
    return m + eps @ torch.linalg.cholesky(S).T


@wrong("ex01-draw_codes", says="centred on 0", layer="property")
def without_the_mean(codes, eps):
    return eps @ torch.linalg.cholesky(codes.T.cov()).T


@wrong("ex01-draw_codes", says="deviations of the codes from 0", layer="oracle")
def about_0(codes, eps):
    S = codes.T @ codes / (len(codes) - 1)
    return codes.mean(0) + eps @ torch.linalg.cholesky(S).T


@right("ex01-draw_codes")
def by_the_symmetric_root(codes, eps):
    S = torch.cov(codes.T, correction=1)
    values, Q = torch.linalg.eigh(S)
    return codes.mean(0) + eps @ (Q * values.sqrt()) @ Q.T


@right("ex01-draw_codes")
def by_the_factors_of_the_codes(codes, eps):
    centred = codes - codes.mean(0)
    _, R = torch.linalg.qr(centred)
    return codes.mean(0) + eps @ R / (len(codes) - 1) ** 0.5


equivalent(
    "ex01-draw_codes",
    "return m - eps @ R.T",
    because="−R is a root of S too: the draws have the same distribution.",
)
