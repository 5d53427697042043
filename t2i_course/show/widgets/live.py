"""A picture that follows its controls, drawn in a thread of its own.

The newest request wins: what is being drawn for an older one is given up at its next look at
`Show`. No thread waits while nothing is asked for.
"""

import html
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from t2i_course.contract import T2IError
from t2i_course.show.figure import bundle

LATE = 0.1  # seconds after which a widget says that it is at work
VIEW = "application/vnd.jupyter.widget-view+json"
# show(picture or None, note): show what is there so far; `Stopped` if nobody waits for it any more.
Show = Callable[..., None]


class Stopped(Exception):  # noqa: N818 - not an error
    """What is being drawn is no longer wanted: there is a newer request, or Stop was pressed."""


class Live:
    """Controls, a picture, and one line that says how it stands.

    Args:
        name: what it is, in lower case with hyphens: the class of its element on the page.
        draw: `draw(show, **values)` with the controls' values by name. It calls `show(html, note)`
            with what there is so far, as often as it can, and with None for a picture that stays.
            Only plain data may go to `show`: it runs in another thread than the notebook's cells.
        controls: ipywidgets by the name of the argument.
        above: names of controls that stand above all, as wide as the widget.
        buttons: more of them, below the controls.
        stop: whether there is a button that stops the drawing.

    Attributes:
        picture, status: ipywidgets.HTML.
        still: what a page without a kernel shows, see `keep` and `figure.bundle`.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[..., None],
        controls: Mapping[str, Any],
        *,
        above: Sequence[str] = (),
        buttons: Sequence[Any] = (),
        stop: bool = False,
    ):
        self.controls = dict(controls)
        self._draw = draw
        self._lock = threading.Lock()
        self._number, self._wanted, self._busy, self._heard = 0, False, 0, 0
        self._worker: threading.Thread | None = None
        self.still: dict[str, dict[str, Any]] | None = None
        self.picture, self.status = ipywidgets.HTML(), ipywidgets.HTML()
        self._say("")
        self.stop_button = ipywidgets.Button(
            description="Stop", icon="stop", tooltip="Stop what is being drawn"
        )
        self.stop_button.on_click(lambda _: self.stop())
        more = [*buttons, self.stop_button] if stop else list(buttons)
        for control in self.controls.values():
            control.observe(lambda _: self.request(), "value")
        row = ipywidgets.HBox(more, layout=ipywidgets.Layout(flex_flow="row wrap"))
        beside = [control for name, control in self.controls.items() if name not in above]
        left = ipywidgets.VBox(
            [*beside, *([row] if more else [])],
            layout=ipywidgets.Layout(flex="0 0 auto", margin="0 16px 0 0", max_width="100%"),
        )
        right = ipywidgets.VBox(
            [self.picture, self.status], layout=ipywidgets.Layout(flex="1 1 260px", min_width="0")
        )
        sides = ipywidgets.Layout(display="flex", flex_flow="row wrap", align_items="flex-start")
        both = ipywidgets.Box([left, right], layout=sides)
        self.box = ipywidgets.VBox([*(self.controls[name] for name in above), both])
        self.box.add_class("t2i-live")
        self.box.add_class(f"t2i-{name}")

    @property
    def values(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def request(self) -> None:
        """Draw what the controls say now; returns at once."""
        with self._lock:
            self._number += 1
            self._wanted = True
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, daemon=True)
                self._worker.start()

    def stop(self) -> None:
        """Give up what is being drawn; the picture stays as it is."""
        with self._lock:
            stopped, self._wanted = self._worker is not None, False
            self._number += 1
        if stopped:
            self._say("stopped")

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is being drawn; False if that takes longer."""
        worker = self._worker
        if worker is not None:
            worker.join(seconds)
        return self._worker is None

    def draw_now(self) -> None:
        """Draw what the controls say, here and not in another thread."""
        self._draw(lambda picture, note="": self._show(self._number, picture, note), **self.values)

    def keep(self, figure: Figure, alt: str) -> None:
        """The still picture that goes into the stored notebook, as it is now, with its words."""
        self.still = bundle(figure, alt)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._worker = None
                    return
                self._wanted, self._busy = False, self._number
            late = threading.Timer(LATE, self._say_late, [self._busy])
            late.daemon = True
            late.start()
            try:
                self._draw(partial(self._show, self._busy), **self.values)
            except Stopped:
                pass
            except Exception as error:  # a thread's traceback would reach nobody
                text = str(error) if isinstance(error, T2IError) else repr(error)
                self._say(text, role="alert")
            finally:
                self._busy = 0
                late.cancel()

    def _show(self, number: int, picture: str | None, note: str = "") -> None:
        if number != self._number:
            raise Stopped
        self._heard = number
        if picture is not None:
            self.picture.value = picture
        self._say(note)

    def _say_late(self, number: int) -> None:
        if self._busy == number == self._number != self._heard:
            self._say("drawing …")

    def _say(self, text: str, role: str = "status") -> None:
        # The line keeps its height where there is nothing to say, so that nothing jumps.
        self.status.value = (
            f'<div role="{role}" style="min-height: 1.6em">{html.escape(text)}</div>'
        )

    def _ipython_display_(self) -> None:
        """The widget where there is a kernel, and the still picture where there is none."""
        from IPython.display import display

        assert self.still is not None  # every widget keeps one before it is returned
        view = {VIEW: self.box._repr_mimebundle_()[VIEW]}
        display({**view, **self.still["data"]}, metadata=self.still["metadata"], raw=True)
