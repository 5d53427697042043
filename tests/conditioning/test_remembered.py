"""Conditions kept in memory are the encoder's, and each caption is encoded once."""

import torch

from t2i_course.conditioning import clip
from t2i_course.conditioning.cache import remembered
from t2i_course.contract import TextEncoder


def test_remembered_conditions_are_the_encoders_and_are_made_once():
    plain, asked = clip.load().encoder(), []

    def counting(captions):
        asked.extend(captions)
        return plain(captions)

    encoder = remembered(
        TextEncoder(plain.name, plain.sha256, plain.dim, plain.token_dim, counting)
    )
    first, second = ["a red circle", "two small blue stars at the top"], ["a red circle", "a star"]
    for captions in (first, second, second):
        found, want = encoder(captions), plain(captions)
        torch.testing.assert_close(found.vector, want.vector, atol=1e-3, rtol=0)
        torch.testing.assert_close(found.tokens, want.tokens, atol=3e-3, rtol=0)
        assert torch.equal(found.mask, want.mask)
    assert asked == [*first, "a star"]
