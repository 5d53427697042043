"""The process, without a network: x_t = a_t x_0 + s_t ε with t in [0, 1], 1 = noise.

`schedules` says what a_t and s_t are, `objectives` what a network learns to say of x_t, `samplers`
how to walk from noise to data with it, `guidance` and `inpainting` how to steer the walk. A network
enters as a plain function; images are x_0 in [-1, 1] here, which the families convert.
"""
