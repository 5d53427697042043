"""Widgets: the newest request wins, nothing blocks, all pictures have words. Toy functions draw."""

import base64
import io
import re
import threading
import time

import numpy as np
import PIL.Image
import pytest

from t2i_course.errors import T2IError
from t2i_course.show import plots, widgets
from t2i_course.show.widgets import live as live_module
from t2i_course.show.widgets.page import chart, gallery

LONG = 20.0  # seconds after which a test that waits has failed


def until(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def images_in(html):
    """The pixels and the words of each picture of a page."""
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]*)"', html)
    assert len(found) == html.count("<img")
    return [(np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(p)))), alt) for p, alt in found]


class Slow:
    """A drawing in pieces, each of which waits for leave."""

    def __init__(self):
        self.leave = threading.Semaphore(0)
        self.began, self.ended, self.threads = [], [], []
        control = live_module.ipywidgets.IntSlider(0, min=0, max=100)
        self.live = widgets.Live("slow", self.draw, {"x": control})

    def draw(self, show, x):
        self.began.append(x)
        self.threads.append(threading.current_thread())
        for _ in range(2):
            self.leave.acquire(timeout=LONG)
            show(f"part of {x}", f"drawing {x}")
        show(f"whole of {x}", f"drew {x}")
        self.ended.append(x)

    def move(self, x):
        self.live.controls["x"].value = x


def test_the_newest_request_wins_and_older_ones_are_given_up():
    slow = Slow()
    slow.move(1)
    until(lambda: slow.began == [1])
    for x in (2, 3, 4):
        slow.move(x)  # none of them waits
    slow.leave.release(10)
    assert slow.live.wait(LONG)
    assert slow.began == [1, 4] and slow.ended == [4]
    assert slow.live.picture.value == "whole of 4" and "drew 4" in slow.live.status.value


def test_the_notebooks_own_thread_never_draws():
    slow = Slow()
    slow.leave.release(2)
    slow.move(1)
    slow.live.wait(LONG)
    assert threading.main_thread() not in slow.threads


def test_stop_ends_the_drawing_and_leaves_what_was_there():
    slow = Slow()
    slow.move(1)
    slow.leave.release()
    until(lambda: slow.live.picture.value == "part of 1")
    slow.live.stop_button.click()
    slow.leave.release(10)
    assert slow.live.wait(LONG)
    assert slow.ended == [] and slow.live.picture.value == "part of 1"
    assert "stopped" in slow.live.status.value
    slow.live.request()  # and it can be asked again
    assert slow.live.wait(LONG) and slow.ended == [1]


def test_a_drawing_that_takes_long_says_so_before_its_first_piece(monkeypatch):
    monkeypatch.setattr(live_module, "LATE", 0.01)
    slow = Slow()
    slow.move(1)
    until(lambda: "drawing …" in slow.live.status.value)
    slow.leave.release(2)
    assert slow.live.wait(LONG) and "drew 1" in slow.live.status.value


@pytest.mark.parametrize(
    ("error", "said"),
    [(T2IError("Give <words>."), "Give &lt;words&gt;."), (ValueError("x"), "ValueError(&#x27;x")],
)
def test_what_goes_wrong_is_said_and_the_widget_goes_on(error, said):
    control = live_module.ipywidgets.IntSlider(0, min=0, max=9)

    def draw(show, x):
        if x == 1:
            raise error
        show(f"{x}", "")

    live = widgets.Live("broken", draw, {"x": control})
    control.value = 1
    live.wait(LONG)
    assert said in live.status.value and 'role="alert"' in live.status.value
    control.value = 2
    live.wait(LONG)
    assert live.picture.value == "2" and 'role="status"' in live.status.value


def test_it_is_displayed_as_a_widget_with_its_still_picture_and_words(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **how: sent.append((data, how)))
    slow = Slow()
    slow.live.keep(plots.bars(["a"], [1.0]), "One bar of length 1, named a.")
    slow.live._ipython_display_()
    ((data, how),) = sent
    assert data[live_module.VIEW]["model_id"] == slow.live.box.model_id
    assert data["image/png"].startswith("iVBORw0KGgo")
    assert data["text/plain"] == how["metadata"]["image/png"]["alt"]
    with pytest.raises(T2IError, match="alt text"):
        slow.live.keep(plots.bars(["a"], [1.0]), "bar")


def test_a_gallery_holds_every_pixel_and_escapes_its_words():
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) / 255
    page = gallery(values, ['The "first" of two.', "The <second> of two."], ["a", "b & c"], scale=3)
    for (pixels, alt), image, wanted in zip(
        images_in(page), values, ("The &quot;first&quot; of two.", "The &lt;second&gt; of two."),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(pixels, 255 * image.transpose(1, 2, 0))
        assert alt == wanted
    assert 'width="15" height="12"' in page and "b &amp; c" in page
    grey = gallery(np.full((1, 1, 2, 2), 0.2), ["A square of dark grey."])
    np.testing.assert_array_equal(images_in(grey)[0][0], np.full((2, 2), 51))


@pytest.mark.parametrize(
    ("images", "alts", "captions"),
    [
        (np.zeros((2, 1, 4, 4)), ["One alt only."], []),
        (np.zeros((1, 1, 4, 4)), ["no-sentence"], []),
        (np.zeros((1, 1, 4, 4)), ["A black square."], ["a", "b"]),
        (np.full((1, 1, 4, 4), 2.0), ["Far too bright."], []),
    ],
)
def test_a_gallery_refuses_pictures_without_words_or_out_of_range(images, alts, captions):
    with pytest.raises(T2IError):
        gallery(images, alts, captions)


def moved(live, name, value):
    """The page after a control was moved."""
    live.controls[name].value = value
    assert live.wait(LONG)
    assert 'role="alert"' not in live.status.value, live.status.value
    return live.picture.value


def buttons(live):
    """The buttons of a widget, in their order."""
    left = live.box.children[-1].children[0]
    return left.children[-1].children


def walk():
    # The toy decoder paints z, cut to [0, 1], and the label into the corner.
    def decode(z, label):
        return np.append(z[:3].clip(0, 1), label / 2).reshape(1, 2, 2)

    return widgets.latent_walk(decode, 5, ("a", "b", "c"), latents=(0, 2))


def test_a_latent_walk_moves_the_latent_of_its_slider_and_no_other():
    live = walk()
    assert set(live.controls) == {"label", "z0", "z2"}
    moved(live, "z2", 0.6)
    ((pixels, alt),) = images_in(moved(live, "label", 1))
    np.testing.assert_array_equal(pixels, np.rint(255 * np.array([[0, 0], [0.6, 0.5]])))
    assert "z 2 = 0.6" in alt and "z 0 = 0.0" in alt
    buttons(live)[0].click()  # all to 0
    live.wait(LONG)
    assert (images_in(live.picture.value)[0][0] == [[0, 0], [0, 128]]).all()
    with pytest.raises(T2IError, match="from 0 to 4"):
        widgets.latent_walk(lambda z, k: z, 5, ("a",), latents=(5,))


def schedule():
    def noisy(name, t):
        return np.full((2, 1, 4, 4), t)

    return widgets.noise_schedule(noisy, lambda name, t: (1 - t, t), ("one", "two"))


def test_a_noise_schedule_shows_x_t_its_shares_and_where_t_is():
    live = schedule()
    first, second, before = images_in(moved(live, "t", 0.2))
    assert (first[0] == 51).all() and (second[0] == 51).all()
    assert "a = 0.800, s = 0.200, signal-to-noise ratio 16" in live.status.value
    *_, after = images_in(moved(live, "t", 0.8))
    assert (before[0] != after[0]).any()
    assert "infinite" in moved(live, "t", 0.0) + live.status.value
    assert "two; a line at t = 0.00" in moved(live, "schedule", "two")


def sampling(seen):
    def sample(label, sampler, steps, w, seed, watch):
        for k in range(steps):
            watch(1 - k / steps, np.full((1, 2, 2), -0.5), np.full((1, 2, 2), 1.5))
        seen.append((label, sampler, steps, w, seed))
        return np.full((1, 2, 2), 0.2)

    return widgets.sampler(sample, ("shoe", "bag"), ("euler", "heun"), steps=20)


def test_a_sampler_shows_some_moments_of_the_way_and_its_end():
    seen = []
    live = sampling(seen)
    pictures = images_in(moved(live, "steps", 3))
    assert seen[-1] == (0, "euler", 3, 1.5, 0)
    assert len(pictures) == 2 * 4  # three steps and the end, x_t above the expected x_0
    assert (pictures[0][0] == 0).all() and (pictures[4][0] == 255).all()  # cut to [0, 1]
    assert (pictures[3][0] == 51).all() and "the end" in pictures[3][1]
    moved(live, "sampler", "heun")
    moved(live, "label", 1)
    moved(live, "w", 3.0)
    moved(live, "seed", 5)
    assert seen[-1] == (1, "heun", 3, 3.0, 5)
    assert len(images_in(moved(live, "steps", 40))) == 2 * 8


def test_a_sampler_that_is_stopped_leaves_its_walk():
    asked, gate = threading.Semaphore(0), threading.Semaphore(0)
    free, steps_done = [True], []

    def sample(label, sampler, steps, w, seed, watch):
        for k in range(steps):
            if not free[0]:
                asked.release()
                gate.acquire(timeout=LONG)
            watch(1.0, np.zeros((1, 2, 2)), np.zeros((1, 2, 2)))
            steps_done.append(k)
        return np.zeros((1, 2, 2))

    live = widgets.sampler(sample, ("shoe",), ("euler",), steps=5)
    free[0], done = False, len(steps_done)
    live.controls["seed"].value = 3
    assert asked.acquire(timeout=LONG)
    live.stop()
    gate.release(10)
    assert live.wait(LONG) and len(steps_done) == done


def prompts(asked):
    def draw(prompt, count, w, seed, watch):
        asked.append((prompt, count, w, seed))
        watch(1, 2)
        return np.full((count, 3, 2, 2), 0.2)

    def judge(image, prompt):
        return {"a circle": "right", "a square": "wrong: kind"}.get(prompt, "")

    def remark(prompt):
        return "never saw 'wug'" if "wug" in prompt else ""

    return widgets.prompt_box(draw, judge, "a circle", remark, w=2.0)


def test_a_prompt_box_draws_what_is_typed_and_says_what_the_judge_says():
    asked = []
    live = prompts(asked)
    assert (
        live.picture.value.count("✓ right") == 3
        and "right; right" in live.still["data"]["text/plain"]
    )
    page = moved(live, "prompt", "a square")
    assert "“a square”" in page and page.count("✗ wrong: kind") == 3
    assert all("a square" in alt and "wrong: kind" in alt for _, alt in images_in(page))
    assert (
        "does not understand" in moved(live, "prompt", "a <wug>")
        and "&lt;wug&gt;" in page + live.picture.value
    )
    assert "never saw" in live.status.value
    moved(live, "count", 1)
    moved(live, "w", 4.0)
    moved(live, "seed", 7)
    assert asked[-1] == ("a <wug>", 1, 4.0, 7) and len(images_in(live.picture.value)) == 1


def explorer():
    def exact(mean, covariance):
        return float(mean @ mean + covariance[0, 1])

    return widgets.metric_explorer(exact, lambda x, y: float(len(x)))


def test_a_metric_explorer_says_the_formula_the_parts_and_the_estimate():
    live = explorer()
    moved(live, "x", 3.0)
    moved(live, "y", 0.0)
    moved(live, "width", 2.0)
    before = images_in(live.picture.value)[0][0]
    moved(live, "tilt", 0.5)
    said = "Fréchet distance 11.00 = 9.00 (means) + 2.00 (covariances); estimated from 100 points"
    assert said in live.status.value
    assert (images_in(live.picture.value)[0][0] != before).any()
    moved(live, "n", 1000)
    assert "from 1,000 points each: 1000.00" in live.status.value


def test_a_monitor_follows_a_run_to_its_end_and_draws_samples_once_a_checkpoint():
    rows, drawn, stopped = [1.0], [], []
    state = {"over": False, "checkpoint": ""}

    def look():
        steps = list(range(1, len(rows) + 1))
        return widgets.Sight({"step": steps, "net/loss": list(rows)}, f"Row {len(rows)}.", **state)

    def samples(checkpoint):
        drawn.append(checkpoint)
        return np.zeros((2, 1, 4, 4)), ("shoe", "bag")

    live = widgets.training_monitor(look, samples, lambda: stopped.append(True), every=0.01)
    until(lambda: "1 values" in live.picture.value)
    rows.append(0.5)
    state["checkpoint"] = "step-2"
    until(
        lambda: "2 values" in live.picture.value and "Sample of step-2: bag." in live.picture.value
    )
    rows.append(0.25)
    until(lambda: "3 values" in live.picture.value and "Row 3." in live.status.value)
    assert live.wait(0.05) is False  # it goes on looking
    buttons(live)[1].click()
    assert stopped == [True]
    state.update(over=True)
    assert live.wait(LONG) and drawn == ["step-2"]
    assert len(images_in(live.picture.value)) == 3


def test_a_monitor_of_a_run_that_has_not_begun_waits_and_stops_looking_when_told():
    live = widgets.training_monitor(lambda: widgets.Sight({}, "Nothing yet."), every=0.01)
    until(lambda: "Nothing yet." in live.status.value and "<img" in live.picture.value)
    live.stop_button.click()
    assert live.wait(LONG) and "stopped" in live.status.value


MAKERS = {
    "latent-walk": walk, "noise-schedule": schedule, "sampler": lambda: sampling([]),
    "prompt-box": lambda: prompts([]), "metric-explorer": explorer,
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_every_widget_is_whole_without_a_kernel_and_has_words_for_every_picture(name):
    live = MAKERS[name]()
    assert live.still["data"]["image/png"] and len(live.still["data"]["text/plain"]) > 40
    pictures = images_in(live.picture.value)
    assert pictures and all(len(alt) > 15 for _, alt in pictures)
    assert {f"t2i-{name}", "t2i-live"} <= set(live.box._dom_classes)
    # Every control says what it is, and nothing needs a mouse: all are ipywidgets' own.
    assert all(control.description for control in live.controls.values())


def test_a_chart_that_is_drawn_again_keeps_its_size():
    figure = plots.curves({"a": ([0, 1], [0, 1])}, "x", "y")
    one = images_in(chart(figure, "A line that rises."))[0][0]
    figure.axes[0].lines[0].set_ydata([1, 0])
    again = images_in(chart(figure, "A line that falls."))[0][0]
    assert one.shape == again.shape and (one != again).any()
