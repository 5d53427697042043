"""What the C library does with memory that a step has freed."""

import ctypes
import functools
import sys

# <malloc.h>; glibc takes no M_MMAP_THRESHOLD above 32 MB.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


@functools.cache
def keep_freed_memory() -> bool:
    """From now on this process keeps what it frees, for the next step to use; True if that worked.

    glibc gives large blocks back to the system at once, and each step then waits for fresh pages
    for every tensor: some 3,000 page faults in a small U-Net's step. Elsewhere than on Linux with
    glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    values = {M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 64 << 20}
    return all([mallopt(name, value) for name, value in values.items()])
