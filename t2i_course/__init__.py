"""Text-to-image generation from scratch: VAE, GAN and diffusion, from a one-hot label to CLIP.

The package imports nothing heavy by itself: `import t2i_course` costs nothing, and each room
(`t2i_course.models`, `t2i_course.metrics`, …) brings what it needs when it is imported.
"""

__version__ = "0.1.0"
