"""The course's look is one for the whole process."""

from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np

from t2i_course.show import plots


def test_figures_drawn_in_several_threads_have_one_look_and_leave_the_readers_settings():
    before = dict(mpl.rcParams)
    images = np.zeros((4, 3, 8, 8))

    def draw(k: int) -> bytes:
        return plots.png(plots.grid(images, 2, column_labels=["a", "b"]), quick=True)

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(draw, range(24)))
    assert len(found) == 1
    assert dict(mpl.rcParams) == before
