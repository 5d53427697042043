"""From sentences to pictures and their scores: prompts, the exact reader's word, files, the CLI."""

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from t2i_course import alignment, cli, prompting, runs, text_evaluation
from t2i_course.conditioning import clip
from t2i_course.contract import Family, Settings, T2IError, TextEncoder
from t2i_course.data.captions import full_caption
from t2i_course.data.shapes import HELD_OUT, draw, scene


@dataclass(frozen=True)
class Nothing(Settings):
    """A family without settings."""


class Copyist(Family):
    """Draws what it was shown for a caption: its condition is the number of the drawing."""

    name: ClassVar[str] = "copyist"
    settings_type = sampling_type = Nothing

    def __init__(self, drawings: torch.Tensor):
        torch.nn.Module.__init__(self)
        self.drawings, self.image_shape, self.settings = drawings, (3, 32, 32), Nothing()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    @property
    def networks(self):
        return {"copyist": self}

    def loss(self, name, images, condition, generator):
        raise NotImplementedError

    def sample(self, condition, generator, settings=None):
        return self.drawings[condition.vector[:, 0].long()] / 255


def numbered(captions: tuple[str, ...]) -> TextEncoder:
    """An encoder whose vector is the caption's place in a list."""
    from t2i_course.contract import Condition

    place = {caption: k for k, caption in enumerate(captions)}

    def encode(some: list[str]) -> Condition:
        return Condition.of(torch.tensor([[float(place[one])] for one in some]))

    return TextEncoder("numbers", "0" * 64, 1, 0, encode)


@pytest.mark.parametrize("kind", alignment.KINDS_OF_PROMPTS)
def test_real_drawings_are_all_right_and_the_next_ones_drawings_mostly_wrong(kind):
    asked = alignment.prompts(kind, 40)
    encoder = numbered(asked.captions)
    drawn = alignment.drawn(Copyist(asked.drawings), encoder, asked.captions)
    scores = alignment.score(drawn, asked, kind)
    assert scores["all"].value == scores["all"].ceiling == 1
    assert scores["kind"].samples == 40 and scores["all"].low > 0.9
    wrong = alignment.score(drawn.roll(1, dims=0), asked, kind)
    assert wrong["all"].value < 0.2 and wrong["all"].ceiling == 1


def test_a_part_counts_only_the_prompts_that_speak_of_it():
    asked = alignment.prompts("one", 60)
    spoken = sum(claim.things[0].place is not None for claim in asked.claims)
    scores = alignment.score(asked.drawings / 255, asked, "one")
    assert scores["place"].samples == spoken < 60 and "relation" not in scores


def test_prompts_are_of_the_split_and_number_that_their_name_says():
    for kind, (split, things) in alignment.KINDS_OF_PROMPTS.items():
        for claim in alignment.prompts(kind, 30).claims:
            assert len(claim.things) == things
            held_out = any((one.colour, one.kind) in HELD_OUT for one in claim.things)
            assert held_out == (split == "held-out")


def test_an_image_depends_on_its_place_and_not_on_the_batch(monkeypatch):
    family = runs.load_family("diffusion-shapes")
    clip_ = runs.load_clip("diffusion-shapes")
    captions = ["a red circle", "a blue square", "two green stars"]
    encoder = clip_.encoder(family.settings.token_dim > 0)
    settings = family.sampling_type(steps=2)
    whole = alignment.drawn(family, encoder, captions, settings=settings)
    monkeypatch.setattr(alignment, "BATCH", 2)
    torch.testing.assert_close(alignment.drawn(family, encoder, captions, settings=settings), whole,
                               atol=1e-3, rtol=0)  # fmt: skip


def test_scores_of_real_drawings_stand_at_their_ceilings():
    reader = clip.load()

    class Perfect(Copyist):
        def sample(self, condition, generator, settings=None):
            return self.drawings[generator.rows.start : generator.rows.stop] / 255

    family = Perfect(torch.zeros(0))

    def drawn(family, encoder, captions, seed=0, settings=None):
        kind = next(k for k in alignment.KINDS_OF_PROMPTS
                    if alignment.prompts(k, 20).captions == tuple(captions))  # fmt: skip
        return alignment.prompts(kind, 20).drawings / 255

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "drawn", drawn)
        result = text_evaluation.evaluate(family, reader, 20)
    scores = result.scores
    assert result.images == 20 * len(alignment.KINDS_OF_PROMPTS)
    for key in ("inception", "clip_score", "one: all", "three, held out: all"):
        assert scores[key].value == pytest.approx(scores[key].ceiling)
    assert scores["frechet"].value == pytest.approx(scores["frechet"].floor)
    assert 20 < scores["clip_score"].value < 100


def test_the_readers_word_on_a_picture():
    one = scene(3, split="test", things=2)
    caption, picture = full_caption(one, 3), torch.from_numpy(draw(one, 32)) / 255
    assert prompting.said(picture, caption) == "right"
    assert prompting.said(torch.full((3, 32, 32), 0.95), caption).startswith("wrong: ")
    assert prompting.said(picture, "an elephant in a circus") == ""


def test_prompts_are_read_from_a_file_or_refused(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a red circle\n\n  two stars \n", encoding="utf-8")
    assert prompting.read_prompts(file) == ["a red circle", "two stars"]
    file.write_text("\n \n", encoding="utf-8")
    with pytest.raises(T2IError, match="no prompt in"):
        prompting.read_prompts(file)
    file.write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(T2IError, match="cannot be read"):
        prompting.read_prompts(file)
    with pytest.raises(T2IError, match="cannot be read"):
        prompting.read_prompts(tmp_path / "none.txt")


def t2i(*words) -> tuple[int, str]:
    result = CliRunner().invoke(cli.cli, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert isinstance(result.exception, T2IError), result.exception
        return 2, str(result.exception)
    return result.exit_code, result.output


@pytest.mark.parametrize("model", ["diffusion", "gan", "cvae"])
def test_a_prompt_becomes_a_png_of_a_size_one_can_see(tmp_path, model):
    out = tmp_path / "picture.png"
    code, said = t2i("sample", "--prompt", "a large green circle", "--model", model, "--out", out)
    assert code == 0 and "exact reader" in said
    with Image.open(out) as picture:
        assert picture.size == (256, 256) and picture.mode == "RGB"


def test_a_file_of_prompts_becomes_a_folder_of_pictures_with_their_list(tmp_path):
    (tmp_path / "p.txt").write_text("a red circle\na dog in a hat\n", encoding="utf-8")
    code, said = t2i("sample", "--prompts", tmp_path / "p.txt", "--count", 2, "--out",
                     tmp_path / "out")  # fmt: skip
    assert code == 0 and "never saw the word 'dog'" in said
    with open(tmp_path / "out" / "prompts.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"] for row in rows] == ["a red circle", "a dog in a hat"]
    assert rows[1]["verdict"] == "" and rows[0]["verdict"] != ""
    with Image.open(tmp_path / "out" / rows[0]["file"]) as picture:
        assert picture.size == (512, 256)


@pytest.mark.parametrize(("words", "message"), [
    (["--prompt", "  "], "The prompt is empty"),
    (["--prompt", "red circle " * 60], "shorten it"),
    (["--prompts", "missing.txt"], "cannot be read from missing.txt"),
    (["--prompt", "a star", "--out", "picture.jpg"], "must end in .png"),
    (["--prompt", "a star", "--prompts", "p.txt"], "Give one of"),
    (["--prompt", "a star", "--model", "difusion"], "diffusion-shapes"),
    (["cvae-fashion", "--prompt", "a star"], "does not read prompts"),
    ([], "Say what to draw from"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_one_sentence_and_no_file(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, said = t2i("sample", *words)
    assert code == 2 and message in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_way_to_a_picture_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; sys.argv = ['t2i', 'sample', '--prompt', 'a star', '--out', sys.argv[1]]\n"
        "from t2i_course.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'matplotlib', 'pandas', 'IPython', 'transformers', 'torch_fidelity'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")], capture_output=True, text=True
    )
    assert out.stdout.strip().endswith("[]"), out.stdout + out.stderr
    assert Path(tmp_path / "a.png").is_file()
