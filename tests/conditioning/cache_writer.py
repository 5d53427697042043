"""A process that fills a cache: `python cache_writer.py FOLDER FIRST LAST SHARD [TOKENS]`.

The encoder is a function of the caption that every process knows, so that a test can check what was
stored by whom it will.
"""

import sys
from pathlib import Path

import torch

from t2i_course.conditioning import cache
from t2i_course.contract import Condition, TextEncoder, seed_of

D, D_TOK = 8, 4


def embed(captions: list[str], tokens: bool = False) -> Condition:
    """Numbers that float16 holds exactly, and as many tokens as the caption has words."""
    numbers = [[seed_of(text, i) % 1000 / 8 for i in range(D)] for text in captions]
    vector = torch.tensor(numbers).reshape(-1, D)
    if not tokens:
        return Condition.of(vector)
    counts = torch.tensor([len(text.split()) for text in captions])
    mask = torch.arange(int(counts.max())) < counts[:, None]
    states = (vector[:, None, :D_TOK] + torch.arange(mask.shape[1])[:, None]) * mask[:, :, None]
    return Condition(torch.ones(len(captions), dtype=torch.bool), vector, states, mask)


def encoder(tokens: bool = False, function: object = None) -> TextEncoder:
    """Named and hashed as every process's."""
    chosen = function or (lambda captions: embed(captions, tokens))
    return TextEncoder("toy/one", "ab" * 32, D, D_TOK if tokens else 0, chosen)  # type: ignore


def caption(number: int) -> str:
    """Of one to four words."""
    return " ".join([f"caption-{number}", "a", "b", "c"][: number % 4 + 1])


if __name__ == "__main__":
    folder, first, last, shard = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    kept = cache.cached(encoder(tokens=len(sys.argv) > 5), folder)
    print("ready", flush=True)
    for start in range(first, last, shard):
        kept([caption(number) for number in range(start, min(start + shard, last))])
