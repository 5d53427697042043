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
