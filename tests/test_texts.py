"""Text models by name, and photographs on the command line: trained, drawn from, refused."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import open_clip
import pytest
import torch
from click.testing import CliRunner
from on_two import ON_TWO
from photographs import folder_of
from safetensors.torch import save_file

from t2i_course import cli, recipes, runs, texts
from t2i_course.conditioning import clip
from t2i_course.conditioning.keywords import words_of
from t2i_course.contract import RowGenerator, T2IError, seeded_init
from t2i_course.data.augment import Augmentation
from t2i_course.data.captioned import CaptionedImages
from t2i_course.training import checkpoints
from t2i_course.training.log import columns, read

# A CLIP of a moment's training.
SMALL = ["--set", "width=4", "--set", "text_width=32", "--set", "head_width=32", "--set",
         "embed_dim=24", "--set", "text_layers=1", "--set", "image_size=32"]  # fmt: skip
CVAE = ["--set", "image_shape=[3,16,16]", "--set", "hidden=16", "--set", "width=4", "--set",
        "latent_dim=4", "--batch-size", "8", "--precision", "fp32"]  # fmt: skip


def t2i(*words) -> str:
    result = CliRunner().invoke(cli.cli, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder of data with a captioned folder in it."""
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("T2I_PROFILE", "smoke")
    return folder_of(tmp_path / "data" / "mine", 30)


@pytest.fixture
def own_clip(mine):
    t2i("train", "clip-photos", "--data", "mine", "--steps", 2, "--batch-size", 8, *SMALL)
    return runs.runs_root() / "clip-photos"


def test_a_clip_of_photographs_has_the_captions_words_and_is_found_by_its_runs_name(own_clip):
    model = runs.load(own_clip)
    captions = list(runs.load_data("mine", "train").all_captions())
    counts = Counter(word for one in captions for word in words_of(one))
    often = [word for word, n in counts.items() if n > 1]
    assert len(often) > 20 and model.tokenizer.unknown_words(" ".join(often)) == []
    assert model.tokenizer.unknown_words("a zebra") == ["zebra"]
    for spec in ("clip-photos", own_clip, str(own_clip), checkpoints.find(own_clip)):
        found = texts.load(spec)
        assert found.title == "clip-photos" and found.dim == 24
        assert found.source.startswith("clip-photos")
        torch.testing.assert_close(
            found.text(["a red circle"]).vector, model.clip().text(["a red circle"]).vector
        )
    log = columns(read(own_clip / "log.csv"))
    assert len(log["clip/loss"]) == 1


def test_a_model_of_photographs_goes_from_folder_to_prompt_by_four_commands(own_clip, tmp_path):
    said = t2i("train", "cvae-photos", "--data", "mine", "--steps", 3, *CVAE)
    assert "mine train" in said and '--prompt "…"' in said
    run = runs.runs_root() / "cvae-photos"
    config = checkpoints.read_json(checkpoints.find(run), "config.json")
    assert config["family"]["settings"]["condition_dim"] == 24
    data = config["data"]
    assert (data["encoder"], data["encoder_source"], data["source"]) == ("clip-photos",) * 2 + (
        "mine",
    )
    assert data["augmentation"] == {"flip": 0.5, "crop": 1.0, "jitter": 0.0}
    t2i("sample", run, "--prompt", "a red circle", "--out", tmp_path / "x.png")
    assert (tmp_path / "x.png").is_file() and runs.trained_on(run) == "mine"
    # The same command again has nothing to do; another encoder is another run.
    t2i("train", "cvae-photos", "--data", str(tmp_path / "data/mine"), "--steps", 3, *CVAE)
    with pytest.raises(T2IError, match="data.encoder is 'clip-photos' there"):
        t2i("train", "cvae-photos", "--data", "mine", "--steps", 3, "--text", "clip-tiny", *CVAE)
    with pytest.raises(T2IError, match="no such model ships"):
        from t2i_course import shipping

        shipping.ship(run, "x", zoo=tmp_path / "zoo")
    # The CLIP is trained anew under the model: the model notices.
    t2i("train", "clip-photos", "--data", "mine", "--steps", 4, "--batch-size", 8, *SMALL,
        "--run", tmp_path / "other")  # fmt: skip
    for path in sorted(own_clip.iterdir()):
        if path.name == "latest" or path.name.startswith("step-"):
            path.rename(tmp_path / f"old {path.name}")
    for path in (tmp_path / "other").iterdir():
        path.rename(own_clip / path.name)
    with pytest.raises(T2IError, match="has other weights"):
        t2i("sample", run, "--prompt", "a red circle", "--out", tmp_path / "y.png")


def test_keywords_condition_and_are_found_in_the_models_own_card(mine, tmp_path):
    t2i("train", "cvae-photos", "--data", "mine", "--steps", 2, "--text", "keywords:12", *CVAE)
    run = runs.runs_root() / "cvae-photos"
    reader = runs.load_text(run)
    assert reader.name == "keywords-12" and {"red", "blue", "circle"} & set(reader.words)
    t2i("sample", run, "--prompt", f"a {reader.words[0]}", "--out", tmp_path / "x.png")
    with pytest.raises(T2IError, match="none of the 12 keywords"):
        t2i("sample", run, "--prompt", "zebra", "--out", tmp_path / "y.png")
    with pytest.raises(T2IError, match="is no CLIP"):
        runs.load_clip(run)


def test_an_open_clip_model_is_named_by_its_weights_or_their_file(tmp_path):
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16,
                       "patch_size": 8},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2,
                     "layers": 1},
    }  # fmt: skip
    (tmp_path / "t2i-by-name.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "t2i-by-name.json")
    with seeded_init(0):
        save_file(open_clip.create_model("t2i-by-name").state_dict(), tmp_path / "w.safetensors")
    found = texts.load(f"t2i-by-name/{tmp_path / 'w.safetensors'}")
    assert found.dim == 24 and texts.load(found.source).sha256 == found.sha256
    with pytest.raises(T2IError, match="are not in open_clip's cache"):
        texts.load("ViT-B-32/laion2b_s34b_b79k")
    with pytest.raises(T2IError, match="Which weights of ViT-B-32"):
        texts.load("ViT-B-32")


@pytest.mark.parametrize(("spec", "message"), [
    ("clip-photos", "`t2i train clip-photos` makes"),
    ("nothing", "There is no text model 'nothing'.* keywords:256"),
    ("keywords:x", "as keywords:256"),
    ("keywords:5", "have 0 keywords"),
    ("words:a a", "different words"),
])  # fmt: skip
def test_what_is_no_text_model_is_said(spec, message):
    with pytest.raises(T2IError, match=message):
        texts.load(spec)


def test_a_folder_that_is_no_clips_is_refused(mine, tmp_path):
    t2i("train", "cvae-fashion", "--data", "sketches", "--steps", 1, "--run", tmp_path / "run")
    with pytest.raises(T2IError, match="run of a cvae, which reads no captions"):
        texts.load(tmp_path / "run")


@pytest.mark.parametrize(("words", "message"), [
    (["cvae-photos", "--data", "nowhere"], "no data named 'nowhere'.*mine"),
    (["cvae-photos", "--data", "no/where"], "There is no folder no/where"),
    (["cvae-photos", "--data", "mine", "--augment", "flop"], "Did you mean 'flip'"),
    (["cvae-photos", "--data", "mine", "--text", "tinny"], "no text model 'tinny'"),
    (["clip-photos", "--data", "mine", "--text", "clip-tiny"], "learns to read by itself"),
    (["cvae-fashion", "--data", "sketches", "--text", "clip-tiny"], "has no captions"),
    (["cvae-fashion", "--data", "sketches", "--augment", "flip"], "are not varied"),
    (["cvae-fashion", "--data", "mine"], r"draws images \[1, 28, 28\]"),
    (["clip-photos", "--data", "sketches"], "A CLIP learns from captions"),
    (["paper-cvae-coco"], "t2i data coco --split train --fraction 0.1 --size 224"),
])  # fmt: skip
def test_what_cannot_be_trained_is_one_sentence(mine, words, message):
    with pytest.raises(T2IError, match=message):
        t2i("train", *words, "--steps", 1)


def test_shards_are_written_by_a_command_and_train_as_the_folder_does(mine, tmp_path):
    said = t2i("data", "shard", "mine", "--out", tmp_path / "s", "--size", 16, "--png",
               "--samples", 7)  # fmt: skip
    assert "train: 24 images in 4 shards" in said and "test: 6 images in 1 shards" in said
    t2i("train", "cvae-photos", "--data", tmp_path / "s", "--steps", 2, "--text", "clip-tiny",
        *CVAE)  # fmt: skip
    assert runs.trained_on(runs.runs_root() / "cvae-photos") == str(tmp_path / "s")
    assert "mine" in t2i("data")
    for words, message in (
        (["shard", "mine"], "Say which folder"), (["coco", "mine"], "takes no folder"),
        (["shard", "mine", "--out", tmp_path, "--archive"], "has no --archive"),
        (["coco", "--samples", 3], "has no --samples"), (["fashion", "--size", 3], "no options"),
    ):  # fmt: skip
        with pytest.raises(T2IError, match=message):
            t2i("data", *words)


def test_the_recipes_of_photographs_are_whole_and_their_sizes_follow_text_and_data(mine):
    reader = clip.load()
    for name in ("diffusion-photos", "gan-photos", "cvae-photos", "paper-cvae-coco"):
        recipe = recipes.recipe(name)
        data = runs.load_data("mine", "train", recipes.side(recipe, {}))
        assert isinstance(data, CaptionedImages)
        sizes = runs.sizes_for(recipe, data, reader)
        assert sizes["condition_dim"] == 128
        assert ("token_dim" in sizes) == (name == "diffusion-photos")
        model, settings = recipes.prepare(recipe, len(data), settings=sizes, batch_size=4)
        kept = runs.data_for(model, data, reader, Augmentation(flip=1))
        images, condition = kept.batch(torch.arange(4), RowGenerator(rows=4))
        assert tuple(images.shape[1:]) == model.image_shape
        assert (condition.tokens is not None) == (name == "diffusion-photos")
        if name != "paper-cvae-coco":
            loss, _ = model.loss(
                next(iter(model.networks)), images, condition, RowGenerator(rows=4)
            )
            assert loss.isfinite()
    paper = recipes.recipe("paper-cvae-coco")
    model, settings = recipes.prepare(paper, 11_829, epochs=paper.epochs)
    assert (settings.steps, settings.batch_size, model.settings.latent_dim) == (3697, 64, 128)
    assert settings.optimizers["text-cvae"].lr == 1e-4


def test_evaluate_judges_a_model_of_photographs_by_another_clip(mine):
    t2i("train", "cvae-photos", "--data", "mine", "--steps", 2, "--text", "keywords:9", *CVAE)
    run = runs.runs_root() / "cvae-photos"
    said = t2i("evaluate", run, "--judge", "clip-tiny")
    for word in (
        "caption found among 6",
        "CLIP score",
        "Fréchet distance",
        "6 photographs of mine test",
    ):
        assert word in said
    assert json.loads((run / "evaluation.json").read_text())["trained_on"] == "mine"
    with pytest.raises(T2IError, match="no text model 'clip-judge'.*t2i train clip-judge"):
        t2i("evaluate", run)
    with pytest.raises(T2IError, match="is no CLIP"):
        t2i("evaluate", run, "--judge", "words:red blue")


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True])
def test_two_processes_train_on_photographs_as_one_does(mine, tmp_path, streamed):
    """gloo on the CPU, by `accelerate launch` and the course's own command."""
    source = "mine"
    if streamed:
        source = str(tmp_path / "s")
        t2i("data", "shard", "mine", "--out", source, "--size", 16, "--samples", 5)
    command = ["-m", "t2i_course.cli", "train", "cvae-photos", "--data", source, "--steps", "6",
               "--text", "clip-tiny", "--augment", "flip,crop,jitter", "--log-every", "1", *CVAE,
               "--run"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for name, launch in (("one", []), ("two", ON_TWO)):
        words = [sys.executable, *launch, *command, str(tmp_path / name)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (columns(read(tmp_path / name / "log.csv")) for name in ("one", "two"))
    assert len(one["step"]) == 6
    for name in one:
        assert name == "seconds" or two[name] == pytest.approx(one[name], rel=2e-4), name
    cards = [checkpoints.read_json(checkpoints.find(tmp_path / name), "card.json")
             for name in ("one", "two")]  # fmt: skip
    assert [card["processes"] for card in cards] == [1, 2]
    assert Path(tmp_path / "two" / "log.csv").is_file()
