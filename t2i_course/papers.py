"""What the two papers report: numbers of other data, networks and features, as they print them."""

# The first paper, table 1 (COCO): FID, Inception Score, hours of training, GB of memory.
FIRST_TABLE_1 = {
    "VAE": (32.4, 2.9, 12, 6),
    "GAN": (23.1, 3.5, 15, 8),
    "diffusion": (14.9, 4.2, 20, 12),
}
# The second paper, table 3 (over epochs) and table 4 (over latent dimensions): CLIP score, FID.
SECOND_TABLE_3 = {
    50: (0.1951, 326.70),
    100: (0.2023, 321.86),
    150: (0.2001, 315.62),
    200: (0.1992, 314.98),
    250: (0.1999, 313.64),
    300: (0.2002, 295.40),
}
SECOND_TABLE_4 = {
    128: (0.2023, 286.06),
    256: (0.1998, 315.01),
    512: (0.1937, 306.73),
    1024: (0.1886, 305.43),
}
NOTE = (
    "The paper's rows are of COCO in Inception's features, as it prints them, without the number "
    "of samples, the resolution or the machine: only their order can be compared."
)


def first_rows(columns: int) -> list[list[str | int | float]]:
    """Table 1 as the last rows of one of ours, which begins with a name and the same columns."""
    return [
        [f"{name}, the first paper, on COCO", f"{fid} (FID)", str(inception), f"{hours} hours",
         str(memory), *["not given"] * (columns - 5)]
        for name, (fid, inception, hours, memory) in FIRST_TABLE_1.items()
    ]  # fmt: skip
