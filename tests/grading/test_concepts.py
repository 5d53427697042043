import csv
from collections import Counter

import pytest

from t2i_course.errors import T2IError
from t2i_course.grading import concepts

NOTEBOOKS = tuple(f"{number:02d}" for number in range(15))


def key(notebook):
    return "".join(question.answer for question in concepts.questions(notebook))


def with_wrong(notebook, count):
    """Answers of which the first `count` are wrong."""
    answers = key(notebook)
    return "".join("b" if letter == "a" else "a" for letter in answers[:count]) + answers[count:]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs" / "concepts.csv"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_has_five_questions_of_four_different_options_one_answer_and_a_reason(notebook):
    asked = concepts.questions(notebook)
    assert len(asked) == 5
    for question in asked:
        assert question.text.endswith("?")
        assert list(question.options) == list("abcd") and question.answer in question.options
        assert len(set(question.options.values())) == 4
        assert len(question.why) > 40


def test_neither_a_letter_nor_the_longest_option_gives_the_answer_away():
    everything = [question for notebook in NOTEBOOKS for question in concepts.questions(notebook)]
    letters = Counter(question.answer for question in everything)
    assert min(letters[letter] for letter in "abcd") >= len(everything) // 6
    longest = sum(max(q.options.values(), key=len) == q.options[q.answer] for q in everything)
    assert longest < len(everything) / 2


def test_asking_shows_every_question_and_option_and_no_reason(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda markdown: shown.append(markdown.data))
    concepts.ask("02")
    for question in concepts.questions("02"):
        assert all(text in shown[0] for text in (question.text, *question.options.values()))
        assert question.why not in shown[0]


def test_before_says_how_many_are_right_and_nothing_of_which(runs, capsys):
    """Oracle: two sets of answers with one mistake each, in different places, print the same."""
    first = "b" if key("02")[0] == "a" else "a"
    last = "b" if key("02")[-1] == "a" else "a"
    concepts.mark("02", before=first + key("02")[1:])
    printed = capsys.readouterr().out
    concepts.mark("02", before=key("02")[:-1] + last)
    assert printed == capsys.readouterr().out == "4 of 5 right.\n"


def test_after_explains_exactly_what_was_wrong_and_shows_the_gain(runs, capsys):
    concepts.mark("03", before=with_wrong("03", 4))
    concepts.mark("03", after=with_wrong("03", 2).upper())
    printed = capsys.readouterr().out
    explained = [question.why in printed for question in concepts.questions("03")]
    assert explained == [True, True, False, False, False]
    assert "At the start: 1 of 5. Now: 3 of 5. Of what there was to gain: 50%." in printed


def test_after_compares_with_the_first_answers_and_only_with_the_same_notebook(runs, capsys):
    concepts.mark("01", before=with_wrong("01", 5))
    concepts.mark("01", before=key("01"))
    concepts.mark("01", after=key("01"))
    assert "At the start: 0 of 5" in capsys.readouterr().out
    concepts.mark("02", after=key("02"))
    assert "there is no gain to show" in capsys.readouterr().out


def test_nothing_is_kept_while_a_question_mark_is_left(runs, capsys):
    concepts.mark("00", before="?????")
    assert capsys.readouterr().out.startswith("Nothing answered yet")
    concepts.mark("00", after="ab?cd")
    assert capsys.readouterr().out.startswith("4 of 5 answered so far")
    assert not runs.exists()


def test_answers_are_appended_once_each_with_the_time_in_utc(runs):
    concepts.mark("00", before=with_wrong("00", 1))
    concepts.mark("00", before=with_wrong("00", 1))  # the cell is run again
    concepts.mark("00", after=key("00"))
    with runs.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("time")[-6:] for row in rows] == ["+00:00"] * 2
    expected = {"notebook": "00", "of": "5"}
    assert rows == [
        expected | {"when": "before", "right": "4", "answers": with_wrong("00", 1)},
        expected | {"when": "after", "right": "5", "answers": key("00")},
    ]


@pytest.mark.parametrize("answers", ["", "abcd", "abcdab", "abcde", "abcd1"])
def test_other_than_five_letters_from_a_to_d_is_refused(runs, answers):
    with pytest.raises(T2IError, match="type 5 letters from a to d"):
        concepts.mark("01", before=answers)
    assert not runs.exists()


def test_an_unknown_notebook_and_a_mark_of_neither_or_both_are_refused(runs):
    with pytest.raises(T2IError, match="no notebook with concept questions named '2'"):
        concepts.ask("2")
    for given in ({}, {"before": "aaaaa", "after": "aaaaa"}):
        with pytest.raises(T2IError, match="either before= or after="):
            concepts.mark("02", **given)


def test_normalised_gain_is_the_share_of_what_was_missing():
    assert concepts.normalised_gain(0.2, 0.6) == pytest.approx(0.5)
    assert concepts.normalised_gain(0.5, 0.25) == pytest.approx(-0.5)
    assert concepts.normalised_gain(1.0, 1.0) is None


def test_the_gain_of_a_class_comes_from_the_means_of_first_answers(tmp_path):
    """Oracle: means 0.2 and 0.6 by hand; the third learner never answered the second time."""
    header = "notebook,when,right,of,answers,time\n"
    files = {
        "one": "02,before,0,5,aaaaa,t\n02,after,2,5,aaaaa,t\n02,after,5,5,aaaaa,t\n",
        "two": "02,before,2,5,aaaaa,t\n02,after,4,5,aaaaa,t\n",
        "three": "02,before,5,5,aaaaa,t\n",
    }
    for name, rows in files.items():
        (tmp_path / name).write_text(header + rows)
    (row,) = concepts.gain(tmp_path / name for name in files)
    assert row[:2] == ("02", 2)
    assert row[2:] == pytest.approx((0.2, 0.6, 0.5))


@pytest.mark.parametrize("row", ["02,before,6,5,aaaaa,t", "02,now,1,5,aaaaa,t", "02,before,x"])
def test_a_file_that_is_not_what_it_should_be_is_named(tmp_path, row):
    path = tmp_path / "concepts.csv"
    path.write_text(f"notebook,when,right,of,answers,time\n{row}\n")
    with pytest.raises(T2IError, match=r"concepts\.csv cannot be read .* \(row 1\)"):
        concepts.gain([path])
    with pytest.raises(T2IError, match="There is no file"):
        concepts.gain([tmp_path / "elsewhere.csv"])
