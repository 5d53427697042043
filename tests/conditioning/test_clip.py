"""Loading and using CLIPs, against open_clip's own functions on small models with drawn weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip import pretrained as published
from PIL import Image
from safetensors.torch import save_file

from t2i_course.conditioning import clip
from t2i_course.contract import seeded_init
from t2i_course.errors import T2IError

CAPTIONS = ["a circle", "", "two cats on a sofa and a dog beside it", "a red circle above a square"]
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def images(side: int = 40, width: int | None = None) -> torch.Tensor:
    """Three smooth pictures in 8 bits, of which a bicubic resize overshoots by little."""
    noise = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(side))
    smooth = torch.nn.functional.interpolate(noise, size=(side, width or side), mode="bilinear")
    return (smooth * 255).round() / 255


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small model under open_clip's name "t2i-test", its weights in two files, and itself."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "t2i-test.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "t2i-test.json")
    with seeded_init(0):
        model = open_clip.create_model("t2i-test").eval()
    save_file(model.state_dict(), folder / "whole.safetensors")
    torch.save(model.state_dict(), folder / "whole.pt")
    return {
        "model": model,
        "safe": folder / "whole.safetensors",
        "pt": folder / "whole.pt",
    }


@pytest.mark.parametrize("file", ["safe", "pt"])
def test_a_file_gives_the_embeddings_of_the_model_that_was_saved(weights, file) -> None:
    """Oracle: encode_text and encode_image of the model itself on open_clip's own ids."""
    model, loaded = weights["model"], clip.load("t2i-test", file=weights[file])
    ids = open_clip.get_tokenizer("t2i-test")(CAPTIONS)
    condition = loaded.text(CAPTIONS)
    with torch.no_grad():
        theirs = model.encode_text(ids, normalize=True)
        pictures = model.encode_image(loaded.prepare(images()), normalize=True)
    torch.testing.assert_close(condition.vector, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loaded.images(images()), pictures, atol=1e-5, rtol=1e-5)
    assert condition.present.all() and condition.tokens is None
    assert (loaded.dim, loaded.token_dim, loaded.context) == (24, 32, 20)
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert not loaded.model.training
    assert loaded.sha256 == clip.load("t2i-test", file=weights["safe"]).sha256


def test_tokens_are_the_last_layers_cut_to_the_longest_caption(weights) -> None:
    """Oracle: what open_clip's uncut pass puts through `ln_final`."""
    model, loaded = weights["model"], clip.load("t2i-test", file=weights["safe"])
    seen: list[torch.Tensor] = []
    hook = model.ln_final.register_forward_hook(lambda _m, _i, out: seen.append(out))
    ids = open_clip.get_tokenizer("t2i-test")(CAPTIONS)
    with torch.no_grad():
        model.encode_text(ids)
    hook.remove()
    condition = loaded.text(CAPTIONS, tokens=True)
    lengths = (ids != 0).sum(1)
    assert condition.tokens is not None and condition.mask is not None
    assert condition.tokens.shape == (4, int(lengths.max()), 32) and lengths.max() < 20
    assert torch.equal(condition.mask.sum(1), lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(
            condition.tokens[row, :length], seen[0][row, :length], atol=1e-5, rtol=1e-5
        )
    assert (condition.tokens[~condition.mask] == 0).all()
    assert torch.equal(condition.vector, loaded.text(CAPTIONS).vector)
    many = loaded.text(CAPTIONS * 30, tokens=True)  # in several chunks, sorted by length
    torch.testing.assert_close(many.tokens, condition.tokens.repeat(30, 1, 1), atol=1e-5, rtol=1e-5)
    assert torch.equal(many.mask, condition.mask.repeat(30, 1))


@pytest.mark.parametrize("config", [
    {}, {"interpolation": "bilinear", "resize_mode": "squash", "mean": (0.5,) * 3},
])  # fmt: skip
@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (20, 20), (47, 61)])
def test_tensors_are_prepared_as_open_clip_prepares_pictures(weights, config, shape) -> None:
    """Oracle: open_clip's transform of the PIL picture; PIL rounds to 1/255 in each of its two
    passes of a resize, and the division by the standard deviation stretches that."""
    model = open_clip.create_model("t2i-test", force_preprocess_cfg=config)
    loaded = clip.Clip("x", model, open_clip.get_tokenizer("t2i-test"))
    batch = images(*shape)
    pictures = [
        Image.fromarray(np.uint8((one.movedim(0, 2).numpy() * 255).round())) for one in batch
    ]
    theirs = torch.stack([loaded.transform(picture) for picture in pictures])
    ours = loaded.prepare(batch)
    assert ours.shape == theirs.shape == (3, 3, 32, 32)
    assert (ours - theirs).abs().max() < 1.6 / 255 / 0.26
    assert (ours - theirs).abs().mean() < 0.5 / 255 / 0.26


def test_what_a_resize_overshoots_is_put_back(weights) -> None:
    model = open_clip.create_model(
        "t2i-test", force_preprocess_cfg={"mean": (0.0,) * 3, "std": (1.0,) * 3}
    )
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    prepared = clip.preprocessing(model)(edge)
    assert prepared.min() == 0 and prepared.max() == 1


def test_weights_come_from_open_clips_cache_with_their_tags_preprocessing(
    weights, monkeypatch, tmp_path
) -> None:
    tag = published._pcfg(hf_hub="somebody/small-clip/", quick_gelu=True, mean=(0.1, 0.2, 0.3))
    monkeypatch.setitem(published._PRETRAINED, "t2i-test", {"drawn": tag})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    with pytest.raises(T2IError, match="not in open_clip's cache: on a machine") as raised:
        clip.load("t2i-test", "drawn")
    assert "create_model('t2i-test', 'drawn')" in str(raised.value)
    assert f"copy what it stored (there usually under ~/.cache) to {tmp_path}" in str(raised.value)
    repo = tmp_path / "models--somebody--small-clip"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("0" * 40)
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(weights["safe"].read_bytes())
    loaded = clip.load("t2i-test", "drawn")
    assert loaded.name == "t2i-test/drawn"
    assert loaded.model.visual.preprocess_cfg["mean"] == (0.1, 0.2, 0.3)
    assert any(isinstance(m, open_clip.transformer.QuickGELU) for m in loaded.model.modules())
    assert loaded.sha256 == clip.load("t2i-test", file=weights["safe"]).sha256


def test_names_and_weights_that_are_not_there_are_one_sentence(weights, tmp_path) -> None:
    with pytest.raises(T2IError, match="Did you mean 'ViT-B-32'"):
        clip.load("ViT-B32")
    with pytest.raises(T2IError, match="one of: openai, laion400m_e31"):
        clip.load("ViT-B-32")
    with pytest.raises(T2IError, match="Did you mean 'openai'"):
        clip.load("ViT-B-32", "openia")
    with pytest.raises(T2IError, match="There is no file"):
        clip.load("t2i-test", file=tmp_path / "none.pt")
    with pytest.raises(T2IError, match="precision"):
        clip.load("tiny", precision="fp16")
    with pytest.raises(T2IError, match="own weights only"):
        clip.load("tiny", "openai")
    with pytest.raises(T2IError, match="not the checkpoint of a small CLIP"):
        clip.load("tiny", file=tmp_path)


def test_files_that_are_damaged_pickles_or_of_another_model_are_refused(weights, tmp_path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights["safe"].read_bytes()[:-100])
    pickled = tmp_path / "pickle.pt"
    torch.save({"model": Path("a class")}, pickled)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    for file in (cut, pickled, tmp_path / "other.pt"):
        with pytest.raises(T2IError, match="could not be loaded as weights of t2i-test"):
            clip.load("t2i-test", file=file)


def test_prompts_that_cannot_be_read_are_named(weights) -> None:
    loaded = clip.load("t2i-test", file=weights["safe"])
    loaded.check(CAPTIONS[2:])
    with pytest.raises(T2IError, match="Prompt 2 of 4 is empty"):
        loaded.check(CAPTIONS)
    with pytest.raises(T2IError, match="has 32 tokens and t2i-test/whole.safetensors reads 20"):
        loaded.check(["very " * 30])
    assert loaded.unknown_words("a xylophone") == []
    with pytest.raises(T2IError, match="no caption to encode"):
        loaded.text([])
    with pytest.raises(T2IError, match=r"looks at images \[B, 3, H, W\]"):
        loaded.images(torch.zeros(2, 1, 28, 28))


def test_features_and_encoder_carry_name_and_hash(weights) -> None:
    loaded = clip.load("t2i-test", file=weights["safe"])
    features, encoder = loaded.features(), loaded.encoder()
    assert torch.equal(features(images()), loaded.images(images()))
    assert features.sha256 == encoder.sha256 == loaded.sha256
    assert "32" in features.resize and "bicubic" in features.resize
    assert encoder(["a"]).tokens is not None and encoder.token_dim == 32
    plain = loaded.encoder(tokens=False)
    assert plain(["a"]).tokens is None and plain.token_dim == 0
