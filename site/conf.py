"""Sphinx's settings for the site: `make site`. Whatever a page loads lies beside it, so that the
built folder reads offline.
"""

import base64
import hashlib
import importlib.util
import json
import shutil
from pathlib import Path

from docutils import nodes

HERE = Path(__file__).parent

project = "Text to image, from scratch"
author = "the t2i-course authors"
copyright = "the t2i-course authors, MIT licence"
html_title = project
language = "en"

extensions = ["myst_nb", "sphinx.ext.mathjax"]
root_doc = "index"
exclude_patterns = ["**/.ipynb_checkpoints"]

nb_execution_mode = "off"  # the pages show what is stored
nb_mime_priority_overrides = [
    ("html", "image/png", 1),
    ("html", "text/html", 5),
    ("html", "text/markdown", 6),
    ("html", "text/plain", 60),
]
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_inline", "deflist"]
myst_dmath_double_inline = True  # notebooks write $$…$$ in the middle of a paragraph too
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header", "misc.highlighting_failure"]

# MathJax comes from PyPI whole, fonts included, and lies beside the pages.
mathjax_path = "../mathjax/tex-chtml.js"
mathjax3_config = {"chtml": {"scale": 0.94}, "options": {"enableMenu": False}}
MATHJAX = Path(importlib.util.find_spec("mathjax").origin).parent / "static/mathjax/es5"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5394",
        "color-brand-content": "#0b5394",
        "color-brand-visited": "#0b5394",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8ab8ff",
        "color-brand-content": "#8ab8ff",
        "color-brand-visited": "#8ab8ff",
    },
}


def alternative_texts(folder: Path) -> dict[str, str]:
    """The words of each stored picture of the notebooks below `folder`, by its SHA-256."""
    words = {}
    for path in sorted(folder.rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                picture = output.get("data", {}).get("image/png")
                alt = output.get("metadata", {}).get("image/png", {}).get("alt")
                if picture and alt:
                    content = base64.b64decode("".join(picture))
                    words[hashlib.sha256(content).hexdigest()] = alt
    return words


def give_pictures_their_words(app, doctree):
    """Each picture on a page gets the alt text that its notebook stores beside it."""
    if not hasattr(app, "t2i_words"):  # not kept in the environment, which outlives a build
        app.t2i_words = alternative_texts(Path(app.srcdir))
    for image in doctree.findall(nodes.image):
        path = Path(app.srcdir) / image["uri"].lstrip("/")
        if not image.get("alt") and path.suffix == ".png" and path.is_file():
            image["alt"] = app.t2i_words.get(hashlib.sha256(path.read_bytes()).hexdigest(), "")


# What the theme and the notebook reader leave out for readers with a keyboard or a screen reader.
MENDS = (
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ("<pre>", '<pre tabindex="0">'),
    ('<div class="math ', '<div tabindex="0" class="math '),
    ('<div class="table-wrapper ', '<div tabindex="0" class="table-wrapper '),
    ('<summary aria-label="Toggle hidden content">', "<summary>"),
)


def finish(app, exception):
    """Mend the pages, and copy what they load of MathJax: the program and its fonts."""
    if exception is not None:
        return
    out = Path(app.outdir)
    for path in out.rglob("*.html"):
        text = mended = path.read_text(encoding="utf-8")
        for old, new in MENDS:
            mended = mended.replace(old, new)
        if mended != text:
            path.write_text(mended, encoding="utf-8")
    (out / "mathjax").mkdir(exist_ok=True)
    shutil.copy(MATHJAX / "tex-chtml.js", out / "mathjax")
    fonts = Path("output/chtml/fonts")
    shutil.copytree(MATHJAX / fonts, out / "mathjax" / fonts, dirs_exist_ok=True)


def setup(app):
    app.connect("doctree-read", give_pictures_their_words)
    app.connect("build-finished", finish)
