import base64
import re
from html.parser import HTMLParser

import pytest

from t2i_course.errors import T2IError
from t2i_course.show import plots, report

ALT = "One bar, of length 1 & no <more>."
PNG = plots.png(plots.bars(["a"], [1]))


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, wanted):
        return [attributes for tag, attributes in self.tags if tag == wanted]


def written(path, **section):
    section = report.Section("Section", **section)
    return report.write(path, "Title", "Intro.", [section]).read_text("utf-8")


def test_a_picture_is_inside_the_page_with_its_alt_text(tmp_path):
    page = Page(written(tmp_path / "r.html", figures=[report.Picture(PNG, ALT, "Caption")]))
    (image,) = page.all("img")
    assert image["alt"] == ALT
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    assert "Caption" in page.text


def test_a_page_has_no_script_and_no_address_outside_itself(tmp_path):
    table = report.Table(["a"], [["x"]], note="n")
    text = written(tmp_path / "r.html", figures=[report.Picture(PNG, ALT)], table=table)
    page = Page(text)
    assert not page.all("script") and not page.all("link")
    assert not re.search(r"https?:|//\w|@import|url\(", re.sub(r"base64,[^\"]*", "", text))


def test_what_a_section_says_is_shown_as_written_and_never_becomes_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    table = report.Table([evil], [[evil]], note=evil)
    text = written(tmp_path / "r.html", text=evil, table=table, command=evil)
    page = Page(text)
    assert not page.all("script")
    assert page.text.count(evil) == 5


def test_the_command_stands_at_the_end_of_its_section(tmp_path):
    table = report.Table(["a"], [["last cell"]], note="note")
    text = written(tmp_path / "r.html", text="first", table=table, command="t2i train cvae")
    places = [
        text.index(f">{words}<") for words in ("first", "last cell", "note", "t2i train cvae")
    ]
    assert places == sorted(places)


def test_columns_of_numbers_stand_flush_right_and_columns_of_text_do_not(tmp_path):
    table = report.Table(["model", "score"], [["a", 1.23456], ["b", 20]])
    page = Page(written(tmp_path / "r.html", table=table))
    assert [cell.get("class") for cell in page.all("td")] == [None, "number"] * 2
    assert "1.235" in page.text


def test_a_report_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    before = written(path, text="old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(T2IError, match="No space left"):
        written(path, text="new")
    assert path.read_text("utf-8") == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_without_words_a_file_that_is_no_png_and_a_ragged_table_are_refused():
    with pytest.raises(T2IError, match="alt text"):
        report.Picture(PNG, "plot")
    with pytest.raises(T2IError, match="PNG"):
        report.Picture(b"GIF89a", ALT)
    with pytest.raises(T2IError, match="1 cells under 2 headings"):
        report.Table(["a", "b"], [["x"]])
