"""The English of the captions: every phrase that may stand in one, by what it means.

The first phrase of an entry is the usual one. `PHRASES` is all of them as a parser needs them.
"""

KINDS = {  # singular and plural
    "circle": (("circle", "circles"), ("disc", "discs"), ("disk", "disks")),
    "square": (("square", "squares"), ("box", "boxes")),
    "triangle": (("triangle", "triangles"),),
    "star": (("star", "stars"), ("five-pointed star", "five-pointed stars")),
    "cross": (("cross", "crosses"), ("plus sign", "plus signs")),
    "diamond": (("diamond", "diamonds"), ("rhombus", "rhombuses"), ("lozenge", "lozenges")),
}
COLOURS = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "turquoise": ("turquoise", "cyan", "teal"),
    "blue": ("blue", "cobalt", "azure"),
    "purple": ("purple", "violet"),
    "black": ("black", "ebony"),
}
SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
RELATIONS = {  # "containing" is "inside" the other way round
    "left of": ("to the left of", "left of", "on the left of"),
    "right of": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "beneath", "lower than"),
    "inside": ("inside", "within", "in", "surrounded by", "enclosed by"),
    "containing": ("containing", "around", "surrounding", "enclosing"),
}
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
BACK = {  # said of the thing just named, of the one before it
    "left of": ("to its left", "on its left", "to the left of it"),
    "right of": ("to its right", "on its right", "to the right of it"),
    "above": ("above it", "over it"),
    "below": ("below it", "under it", "beneath it"),
    "inside": ("inside it", "within it", "in it", "inside"),
}
PLACES = {  # row and column of nine places; None: any
    (0, 0): ("in the top left corner", "at the top left", "in the upper left"),
    (0, 1): ("at the top centre", "in the middle of the top edge", "in the upper middle"),
    (0, 2): ("in the top right corner", "at the top right", "in the upper right"),
    (1, 0): ("at the middle left", "in the middle of the left side", "halfway down the left"),
    (1, 1): ("in the centre", "in the middle", "at the center", "in the center"),
    (1, 2): ("at the middle right", "in the middle of the right side", "halfway down the right"),
    (2, 0): ("in the bottom left corner", "at the bottom left", "in the lower left"),
    (2, 1): ("at the bottom centre", "in the middle of the bottom edge", "in the lower middle"),
    (2, 2): ("in the bottom right corner", "at the bottom right", "in the lower right"),
    (0, None): ("at the top", "in the upper part"),
    (2, None): ("at the bottom", "in the lower part"),
    (None, 0): ("on the left", "on the left side", "on the left-hand side"),
    (None, 2): ("on the right", "on the right side", "on the right-hand side"),
}
OF_THE_PICTURE = ("of the picture", "of the image")
COUNTS = {
    2: ("two", "2", "a pair of", "exactly two"),
    3: ("three", "3", "a trio of", "exactly three"),
}
ARTICLES = ("a", "an", "the", "one", "1", "a single", "exactly one")
LINKS = ("which is", "that is", "is", "are", "that are", "which are")
ANDS = ("and", "with")
OPENINGS = (
    "there is", "the picture shows", "a picture of", "an image of", "the image shows",
    "a drawing of", "here is", "we see", "one can see", "this picture has",
)  # fmt: skip
PLURAL = {"there is": "there are", "here is": "here are"}
OTHER_OPENINGS = (
    "this is a picture of", "this is an image of", "a photo of", "picture of", "image of",
    "drawing of", "draw", "show", "we can see",
)  # fmt: skip


def tokens(text: str) -> tuple[str, ...]:
    """The words and numbers of a text in lower case, without punctuation."""
    kept = "".join(letter if letter.isalnum() else " " for letter in text.lower().replace("'", ""))
    return tuple(kept.split())


# NLTK 3.9's English stop words, without the ones that hold an apostrophe.
STOP_WORDS = frozenset(
    tokens(
        "a about above after again against ain all am an and any are aren as at be because been "
        "before being below between both but by can couldn d did didn do does doesn doing don "
        "down during each few for from further had hadn has hasn have haven having he her here "
        "hers herself him himself his how i if in into is isn it its itself just ll m ma me "
        "mightn more most mustn my myself needn no nor not now o of off on once only or other "
        "our ours ourselves out over own re s same shan she should shouldn so some such t than "
        "that the their theirs them themselves then there these they this those through to too "
        "under until up ve very was wasn we were weren what when where which while who whom why "
        "will with won wouldn y you your yours yourself yourselves"
    )
)


def _phrases() -> dict[tuple[str, ...], tuple[str, object]]:
    """All phrases, as words, with the part of speech that the parser knows and the meaning."""
    table: list[tuple[str, str, object]] = []
    for kind, nouns in KINDS.items():
        table += [(form, "noun", kind) for noun in nouns for form in noun]
    for part, entries in (("colour", COLOURS), ("size", SIZES), ("relation", RELATIONS),
                          ("back", BACK)):  # fmt: skip
        table += [(text, part, name) for name, texts in entries.items() for text in texts]
    for place, texts in PLACES.items():
        for text in texts:
            table += [(text, "place", place)]
            table += [(f"{text} {of}", "place", place) for of in OF_THE_PICTURE]
    table += [(text, "count", number) for number, texts in COUNTS.items() for text in texts]
    for part, plain in (("article", ARTICLES), ("link", LINKS), ("conjunction", ANDS),
                        ("opening", (*OPENINGS, *PLURAL.values(), *OTHER_OPENINGS))):  # fmt: skip
        table += [(text, part, None) for text in plain]
    found: dict[tuple[str, ...], tuple[str, object]] = {}
    for text, part, meaning in table:
        # "inside" alone is a relation first; at a caption's end the parser reads it as "inside it".
        found.setdefault(tokens(text), (part, meaning))
    return found


PHRASES = _phrases()
LONGEST = max(map(len, PHRASES))
VOCABULARY = tuple(sorted({word for phrase in PHRASES for word in phrase}))
