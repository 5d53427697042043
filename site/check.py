"""The built site, checked without a browser: `python site/check.py [FOLDER]`.

Finds links and anchors that lead nowhere, pictures that are missing or have no words, formulas that
stayed text, pages that load something from elsewhere, and pages that no page links to.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HTML = Path(__file__).resolve().parent / "_build" / "html"
# Between dollars, what only a formula has: a backslash, an index, an exponent.
FORMULA = re.compile(r"\$[^$\s][^$\n]*[\\_^][^$\n]*\$|\$\$|\\begin\{")


class Page(HTMLParser):
    """What matters of a page: its links, what it loads, its anchors, and the text outside code."""

    CODE = ("pre", "code", "script", "style", "textarea")

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.pictures: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.stack: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors.add(values.get("id", values.get("name", "")))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "img":
            self.pictures.append((values.get("src", ""), values.get("alt", "")))
        elif tag == "script" and "src" in values:
            self.loaded.append(values["src"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(values["href"])
        if tag not in ("img", "link", "meta", "br", "hr", "input", "path", "col"):
            hidden = tag in self.CODE or "math" in values.get("class", "").split()
            self.stack.append((tag, hidden))

    def handle_endtag(self, tag: str) -> None:
        while any(tag == open_tag for open_tag, _ in self.stack):
            if self.stack.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if not any(hidden for _, hidden in self.stack):
            self.text.append(data)


def problems(folder: Path) -> list[str]:
    """What is wrong with the site in `folder`, one line each."""
    pages = {
        path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
        if path.relative_to(folder).parts[0] not in ("slides", "reveal")  # which have no such links
    }
    found: list[str] = []
    linked = {"index.html", "search.html", "genindex.html"}
    if not pages:
        return [f"{folder} holds no pages: run `make site` first"]
    for name, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            target, anchor = _target(folder, name, link)
            linked.add(target)
            if not (folder / target).is_file():
                found.append(f"{name}: the link {link} leads nowhere")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{name}: {link} has no such place on its page")
        for source, alt in page.pictures:
            inside = source.startswith("data:")
            if not inside and not (folder / _target(folder, name, source)[0]).is_file():
                found.append(f"{name}: the picture {source} is missing")
            if len(alt.strip()) < 10:
                found.append(f"{name}: the picture {source[:60]} has no words")
        for source in page.loaded:
            if urlsplit(source).netloc:
                found.append(f"{name}: loads {source} from elsewhere")
            elif not (folder / _target(folder, name, source)[0]).is_file():
                found.append(f"{name}: {source} is missing")
        for formula in FORMULA.findall("".join(page.text)):
            found.append(f"{name}: the formula {formula[:60]!r} stayed text")
    found += [f"{name}: no page links to it" for name in pages if name not in linked]
    return found


def _target(folder: Path, page: str, link: str) -> tuple[str, str]:
    """The file and the anchor that a link on `page` leads to."""
    parts = urlsplit(link)
    path = unquote(parts.path)
    whole = (folder / page).parent / path if path else folder / page
    whole = whole.resolve() / "index.html" if whole.is_dir() else whole.resolve()
    inside = whole.is_relative_to(folder.resolve())
    return (whole.relative_to(folder.resolve()).as_posix() if inside else "?"), unquote(
        parts.fragment
    )


if __name__ == "__main__":
    where = Path(sys.argv[1]) if sys.argv[1:] else HTML
    wrong = problems(where)
    print("\n".join(wrong))
    print(f"{len(list(where.rglob('*.html')))} pages, {len(wrong)} problems")
    sys.exit(1 if wrong else 0)
