"""What the two papers report: numbers of other data, networks and features, as they print them."""

# The first paper, table 1 (COCO): FID, Inception Score, hours of training, GB of memory.
FIRST_TABLE_1 = {
    "VAE": (32.4, 2.9, 12, 6),
    "GAN": (23.1, 3.5, 15, 8),
    "diffusion": (14.9, 4.2, 20, 12),
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
