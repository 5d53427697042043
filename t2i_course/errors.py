"""The one error that a user sees, and the one way to say "no such name". No heavy import."""

import difflib
from collections.abc import Iterable


class T2IError(Exception):
    """Something that a user can put right: what is wrong, where, and what to do next.

    The command line prints the message alone and exits with 2.
    """


def unknown(kind: str, name: object, choices: Iterable[str]) -> T2IError:
    """The error for a name that is not among `choices`, suggesting the nearest one; of more than
    30 choices it names the ten nearest."""
    choices = list(choices)
    near = difflib.get_close_matches(str(name), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    if len(choices) > 30:
        nearest = difflib.get_close_matches(str(name), choices, n=10, cutoff=0)
        choices = [*nearest, f"and {len(choices) - len(nearest)} more"]
    return T2IError(f"There is no {kind} named {name!r}.{hint} Known: {', '.join(choices)}.")
