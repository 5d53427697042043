"""Widgets that draw: a walk in latent space, a schedule of noise, a sampler, a prompt box."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from t2i_course.contract import require
from t2i_course.show.figure import Array, array
from t2i_course.show.plots import curves, grid
from t2i_course.show.widgets.live import Live, Show
from t2i_course.show.widgets.page import chart, gallery, heading

DUMB = "the judge does not understand this prompt"
STRIP = 8  # moments of a walk that are shown
WIDE = ipywidgets.Layout(width="300px")
NAMED = {"description_width": "84px"}
Watch = Callable[[float, Array, Array], None]


def slider(name: str, value: float, low: float, high: float, step: float, **more: Any) -> Any:
    """A slider in the widgets' look, for whole numbers where `step` is one."""
    whole = isinstance(step, int)
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    shown = {} if whole else {"readout_format": ".2f" if step < 0.1 else ".1f"}
    return kind(
        value, min=low, max=high, step=step, description=name, layout=WIDE, style=NAMED,
        **shown, **more,
    )  # fmt: skip


def choice(name: str, options: Sequence[Any], value: Any = None) -> Any:
    """A list to choose from in the widgets' look; its first entry unless `value` is given."""
    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    return ipywidgets.Dropdown(
        options=options, value=first if value is None else value, description=name, layout=WIDE,
        style=NAMED,
    )  # fmt: skip


def seed_box() -> Any:
    """A box for the seed."""
    return ipywidgets.BoundedIntText(
        0, min=0, max=10**6, description="seed", layout=WIDE, style=NAMED
    )


def latent_walk(
    decode: Callable[[np.ndarray, int], Array],
    latent_dim: int,
    names: Sequence[str],
    latents: Sequence[int] = (0, 1, 2, 3),
    span: float = 3.0,
) -> Live:
    """Sliders over some latents, the others at 0, and the label: what the decoder makes of them.

    Args:
        decode: z `[latent_dim]` and the number of a label to an image `[C, H, W]` in [0, 1].
        latent_dim: numbers in z.
        names: of the labels.
        latents: those that get a slider, from 0.
        span: how far a slider goes to either side, in standard deviations of the prior.

    Raises:
        T2IError: for a latent that is not there.
    """
    require(
        all(0 <= i < latent_dim for i in latents) and len(latents) > 0,
        f"Latents are numbered from 0 to {latent_dim - 1}; {list(latents)} are not all of them.",
    )

    def picture(label: int, **moved: float) -> np.ndarray:
        z = np.zeros(latent_dim)
        for i in latents:
            z[i] = moved.get(f"z{i}", 0.0)
        return array(decode(z, label))

    def draw(show: Show, label: int, **moved: float) -> None:
        image = picture(label, **moved)
        at = ", ".join(f"z {name[1:]} = {value:.1f}" for name, value in moved.items())
        alt = f"{names[label]}, drawn with {at} and all other latents at 0."
        show(gallery(image[None], [alt], [names[label]], scale=max(1, 252 // image.shape[1])))

    controls = {"label": choice("label", [(name, k) for k, name in enumerate(names)])}
    controls |= {f"z{i}": slider(f"z {i}", 0.0, -span, span, 0.1) for i in latents}
    reset = ipywidgets.Button(description="All to 0", icon="undo", tooltip="Every latent to 0")
    live = Live("latent-walk", draw, controls, buttons=[reset])

    def to_zero(_: Any) -> None:
        for i in latents:
            controls[f"z{i}"].value = 0.0

    reset.on_click(to_zero)
    live.draw_now()
    places = np.linspace(-span, span, 7)
    images = np.stack([picture(0, **{f"z{i}": place}) for i in latents for place in places])
    live.keep(
        grid(
            images, 7, [f"z {i}" for i in latents], [f"{place:.0f}" for place in places],
            f"{names[0]}: one latent moved at a time, the others at 0",
        ),
        f"{names[0]} drawn with one latent at a time moved from {-span:.0f} to {span:.0f}, for "
        f"{len(latents)} latents: each row changes something else of the picture.",
    )  # fmt: skip
    return live


def noise_schedule(
    noisy: Callable[[str, float], Array],
    shares: Callable[[str, np.ndarray], tuple[Array, Array]],
    names: Sequence[str],
) -> Live:
    """A slider over the time t: pictures dissolve, and a point moves along the schedule.

    Args:
        noisy: a schedule's name and t to x_t `[N, C, H, W]` in [0, 1], of the same noise each time.
        shares: a schedule's name and times `[K]` to (a, s), each `[K]`: x_t = a x_0 + s ε.
        names: of the schedules.
    """
    times = np.linspace(0, 1, 201)
    charts: dict[str, tuple[Figure, Any]] = {}

    def chart_of(name: str, t: float) -> Figure:
        if name not in charts:
            a, s = shares(name, times)
            lines = {"picture, a": (times, a), "noise, s": (times, s)}
            figure = curves(lines, "time t (1 = noise)", "share", f"x_t = a x_0 + s ε, {name}")
            mark = figure.axes[0].axvline(t, color="black", lw=1.2, dashes=(3, 2))
            charts[name] = figure, mark
        figure, mark = charts[name]
        mark.set_xdata([t, t])
        return figure

    def draw(show: Show, schedule: str, t: float) -> None:
        images = array(noisy(schedule, t))
        a, s = (float(array(share)[0]) for share in shares(schedule, np.array([t])))
        ratio = f"{(a / s) ** 2:.3g}" if s > 0 else "infinite"
        said = f"a = {a:.3f}, s = {s:.3f}, signal-to-noise ratio {ratio}"
        alts = [f"Picture {n} at t = {t:.2f}: {said}." for n in range(1, 1 + len(images))]
        alt = f"Shares of picture and noise over time, {schedule}; a line at t = {t:.2f}."
        show(gallery(images, alts, scale=4) + chart(chart_of(schedule, t), alt), said)

    controls = {
        "schedule": choice("schedule", list(names)),
        "t": slider("t", 0.3, 0.0, 1.0, 0.01),
    }
    live = Live("noise-schedule", draw, controls)
    live.draw_now()
    some = np.linspace(0, 0.8, 5)
    images = np.concatenate([array(noisy(name, float(t)))[:1] for name in names for t in some])
    live.keep(
        grid(
            images, len(some), list(names), [f"{t:.1f}" for t in some],
            "One picture under each schedule, by t", scale=2,
        ),
        f"One picture dissolves into noise from left to right, under {len(names)} schedules, one "
        "in each row.",
    )  # fmt: skip
    return live


def sampler(
    sample: Callable[..., Array],
    names: Sequence[str],
    samplers: Sequence[str],
    steps: int = 16,
    w: float = 1.5,
    largest: int = 60,
) -> Live:
    """The way from noise to a picture, for a sampler, a number of steps, a weight and a seed.

    Args:
        sample: `sample(label, sampler, steps, w, seed, watch)` to an image `[C, H, W]` in [0, 1];
            it calls `watch(t, x_t, x_0)` at each step, images likewise, and lets what `watch`
            raises pass.
        names: of the labels.
        samplers: names to choose from.
        steps, w: to begin with.
        largest: number of steps.
    """

    def draw(show: Show, **how: Any) -> None:
        seen: list[tuple[str, np.ndarray, np.ndarray]] = []

        def watch(t: float, x_t: Array, x_0: Array) -> None:
            seen.append((f"t = {t:.2f}", array(x_t).clip(0, 1), array(x_0).clip(0, 1)))
            show(None, f"drawing … step {len(seen)} of {how['steps']}")

        end = array(sample(watch=watch, **how))
        moments = np.unique(np.linspace(0, len(seen) - 1, STRIP - 1).round().astype(int))
        way = [*(seen[m] for m in moments), ("the end", end, end)]
        times, x_t, x_0 = zip(*way, strict=True)
        about = f"{names[how['label']]}, {how['sampler']}, {how['steps']} steps, w = {how['w']:.1f}"
        rows = ""
        for title, images in (("x_t, on the way", x_t), ("x_0, as expected there", x_0)):
            alts = [f"{title}, at {time}: {about}." for time in times]
            rows += heading(title) + gallery(np.stack(images), alts, times, scale=2, gap=4)
        show(rows, about)
        if live.still is None:
            live.keep(
                grid(np.stack([*x_t, *x_0]), len(way), ["x_t", "expected x_0"], times, about),
                f"The way from noise to a picture ({about}) in {len(way)} moments: above what the "
                "sampler holds, below what the model expects it to become.",
            )

    controls = {
        "label": choice("label", [(name, k) for k, name in enumerate(names)]),
        "sampler": choice("sampler", list(samplers)),
        "steps": slider("steps", steps, 1, largest, 1),
        "w": slider("guidance w", w, 0.0, 8.0, 0.5),
        "seed": seed_box(),
    }
    live = Live("sampler", draw, controls, stop=True)
    live.draw_now()
    return live


def prompt_box(
    draw_prompt: Callable[..., Array],
    judge: Callable[[np.ndarray, str], str],
    prompt: str,
    remark: Callable[[str], str] = lambda prompt: "",
    w: float = 3.0,
) -> Live:
    """A line to type in: the pictures that a model draws of it, each with the judge's verdict.

    Args:
        draw_prompt: `draw_prompt(prompt, count, w, seed, watch)` to `[count, 3, S, S]` in [0, 1];
            it calls `watch(step, steps)` as it goes and lets what that raises pass.
        judge: an image `[3, S, S]` and the prompt to "right", to what is wrong, or to "" where it
            cannot say.
        prompt: to begin with.
        remark: what is to be said of a prompt beside its pictures, or "".
        w: the guidance weight to begin with.
    """

    def marked(said: str) -> str:
        return f"✓ {said}" if said == "right" else f"✗ {said}" if said.startswith("wrong") else said

    def draw(show: Show, prompt: str, count: int, w: float, seed: int) -> None:
        def watch(step: int, steps: int) -> None:
            show(None, f"drawing … step {step} of {steps}")

        images = array(draw_prompt(prompt, count, w, seed, watch))
        verdicts = [judge(image, prompt) or DUMB for image in images]
        captions = [marked(said) for said in verdicts]
        alts = [f"Drawn of the prompt “{prompt}”; the judge: {said}." for said in verdicts]
        big = max(1, 160 // images.shape[2])
        show(heading(f"“{prompt}”") + gallery(images, alts, captions, scale=big), remark(prompt))
        if live.still is None:
            live.keep(
                grid(
                    images,
                    len(images),
                    None,
                    [said.split(":")[0] for said in captions],
                    f"“{prompt}”",
                    scale=6,
                ),
                f"{len(images)} pictures drawn of the prompt “{prompt}”; the judge says: "
                f"{'; '.join(verdicts)}.",
            )

    controls = {
        "prompt": ipywidgets.Text(
            prompt, description="prompt", placeholder="what to draw", continuous_update=False,
            layout=ipywidgets.Layout(width="min(560px, 100%)"), style=NAMED,
        ),
        "count": slider("pictures", 3, 1, 6, 1, continuous_update=False),
        "w": slider("guidance w", w, 0.0, 8.0, 0.5, continuous_update=False),
        "seed": seed_box(),
    }  # fmt: skip
    button = ipywidgets.Button(description="Draw", icon="paint-brush", button_style="primary")
    live = Live("prompt-box", draw, controls, above=["prompt"], buttons=[button], stop=True)
    button.on_click(lambda _: live.request())
    live.draw_now()
    return live
