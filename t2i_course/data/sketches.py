"""Ten kinds of garment that the package draws itself: a stand-in for FashionMNIST, not downloaded.

The form is FashionMNIST's: 28x28 grey on black, the same labels in the same order, shoes with the
toe to the left. Sketch i is a function of (seed, i) alone and is the same bytes on every machine:
all arithmetic is on integers, and the random numbers are raw output of NumPy's Philox.

A sketch is painted part by part, later parts over earlier ones. A part is an outline: at some
heights y a left and a right end, straight lines between. Lengths are tenths of a pixel, so the
canvas is 280 by 280 and its middle is at 140; tones are 0 (black, which cuts) to 255.
"""

from itertools import pairwise

import numpy as np

from t2i_course.errors import T2IError

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
           "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")  # fmt: skip
SIZE, MIDDLE = 28, 140  # of the canvas: pixels, and tenths of a pixel
LINES = 5  # scan lines per row of pixels, at 1, 3, 5, 7 and 9 tenths
ROLLS = 46  # random numbers that a garment may use
WIDTH = ROLLS + SIZE * SIZE // 8  # 64-bit numbers per sketch, a byte for each pixel among them
CHUNK = 640  # sketches drawn at a time: 64 of each class, which fit into a processor's cache
Number = int | np.ndarray  # one for all n sketches, or [n]: one for each
Range = tuple[int, int]


def sketches(start: int, stop: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sketches `start` to `stop - 1` of the endless sequence that belongs to `seed`.

    Returns images, uint8 `[stop - start, 28, 28]`, background exactly 0; and labels, int64
    `[stop - start]`, places in `CLASSES`: each class once in every ten from a multiple of ten, in
    an order drawn for that ten. Raises `T2IError` unless 0 <= start <= stop and 0 <= seed < 2**64.
    """
    whole = all(isinstance(value, int | np.integer) for value in (start, stop, seed))
    if not (whole and 0 <= start <= stop and 0 <= seed < 2**64):
        raise T2IError(
            "Sketches need whole numbers with 0 <= start <= stop and 0 <= seed < 2**64, "
            f"not start {start!r}, stop {stop!r}, seed {seed!r}."
        )
    start, stop, seed = int(start), int(stop), int(seed)
    tens = range(start // 10, -(-stop // 10))
    order = np.argsort(_table(tens, 12, key=seed + 2**64)[:, :10], axis=1, kind="stable")
    labels = order.astype(np.int64).reshape(-1)[start - 10 * tens.start :][: stop - start]
    images = np.zeros((stop - start, SIZE, SIZE), np.uint8)
    for first in range(start, stop, CHUNK):
        raw = _table(range(first, min(first + CHUNK, stop)), WIDTH, key=seed)
        here = labels[first - start :][: len(raw)]
        for label in np.unique(here):
            rows = np.flatnonzero(here == label)
            images[first - start + rows] = _draw(int(label), Dice(raw[rows]))
    return images, labels


def _table(rows: range, width: int, key: int) -> np.ndarray:
    """Some rows of the endless table of random numbers that belongs to `key`, uint64 `[n, width]`.

    Philox makes four numbers of each value of a counter, so a table whose width is a multiple of
    four can be opened at any row.
    """
    generator = np.random.Philox(key=key, counter=rows.start * (width // 4))
    return generator.random_raw(len(rows) * width).reshape(-1, width)


class Dice:
    """The random numbers of n sketches, from `raw` uint64 `[n, WIDTH]`."""

    def __init__(self, raw: np.ndarray):
        self.rolls = iter((raw[:, :ROLLS] >> np.uint64(32)).astype(np.int64).T)  # 32 bits each
        noise = raw[:, ROLLS:].astype("<u8").view(np.int8)
        self.noise = noise.reshape(-1, SIZE, SIZE).astype(np.int32)  # -128..127 for each pixel

    def __call__(self, low: int, high: int) -> np.ndarray:
        """Integers `[n]` from `low` to `high`, both included."""
        return low + (next(self.rolls) * (high - low + 1) >> 32)

    def chance(self, percent: int) -> np.ndarray:
        """1 in so many of a hundred sketches, else 0: `[n]`."""
        return np.int64(1) * (self(1, 100) <= percent)

    def tone(self) -> np.ndarray:
        """A garment's main grey `[n]`; light ones are more frequent, as in FashionMNIST."""
        return np.maximum(self(45, 235), self(55, 245))


class Canvas:
    """n pictures under the brush: `grey` int32 `[n, 28, 28]`; all x are moved by `shift` `[n]`."""

    def __init__(self, n: int, shift: Number = 0):
        self.grey = np.zeros((n, SIZE, SIZE), np.int32)
        self.shift = shift

    def paint(self, tone: Number, *levels: tuple[Number, ...], only: Number = 1) -> None:
        """Paint the outline through the `levels` (y, left, right), y rising, where `only` is 1."""
        n = len(self.grey)
        columns = [[np.broadcast_to(v, n)[:, None] for v in level] for level in levels]  # [n, 1]
        y = np.arange(SIZE * LINES) * 10 // LINES + 1  # [140]: where the scan lines are
        ends = np.zeros((2, n, len(y)), np.int64)  # left and right on each line; 0, 0 is nothing
        for (y0, *from_x), (y1, *to_x) in pairwise(columns):
            here = (y >= y0) & (y < y1)
            for side, x0, x1 in zip(ends, from_x, to_x, strict=True):
                slope = (x1 - x0) * 256 // np.maximum(y1 - y0, 1)
                np.copyto(side, x0 + (slope * (y - y0) >> 8), where=here)
        ends += np.broadcast_to(self.shift, n)[:, None]
        left, right = np.clip(ends, 0, 10 * SIZE).astype(np.int16)[..., None]
        pixel = np.arange(0, 10 * SIZE, 10, dtype=np.int16)  # [28]: the pixels' left ends
        inside = np.maximum(np.minimum(right, pixel + 10) - np.maximum(left, pixel), 0)
        cover = inside.reshape(n, SIZE, LINES, SIZE).sum(axis=2, dtype=np.int32)  # of 10 * LINES
        tone, only = (np.broadcast_to(v, n).astype(np.int32)[:, None, None] for v in (tone, only))
        self.grey += (tone - self.grey) * only * cover // (10 * LINES)

    def centred(self, tone: Number, *levels: tuple[Number, Number], only: Number = 1) -> None:
        """Paint (y, half width) about the middle."""
        self.paint(tone, *((y, MIDDLE - half, MIDDLE + half) for y, half in levels), only=only)

    def pair(self, tone: Number, *levels: tuple[Number, ...], only: Number = 1) -> None:
        """Paint (y, inner, outer), distances from the middle, on the left and on the right."""
        self.paint(tone, *((y, MIDDLE - b, MIDDLE - a) for y, a, b in levels), only=only)
        self.paint(tone, *((y, MIDDLE + a, MIDDLE + b) for y, a, b in levels), only=only)

    def pattern(self, dice: Dice, woven: int, motif: int) -> None:
        """Stripes, checks or flowers in so many of a hundred; something on the chest in so many."""
        kind, depth = dice(0, 2)[:, None, None], dice(50, 190) * dice.chance(woven)
        period, phase = dice(2, 5)[:, None], dice(0, 9)[:, None]
        band = (np.arange(SIZE) + phase) // period % 2  # [n, 28]
        lines = band[:, :, None] | (band[:, None, :] & (kind == 1))
        dark = np.where(kind == 2, dice.noise > 70, lines)
        self.grey -= self.grey * dark * depth[:, None, None] >> 8
        y, wide, narrow = dice(70, 110), dice(15, 36), dice(8, 36)
        self.centred(dice(20, 250), (y, wide), (y + dice(15, 70), narrow), only=dice.chance(motif))

    def finish(self, dice: Dice) -> np.ndarray:
        """The pictures, uint8 `[n, 28, 28]`: light from one side, folds and the cloth's grain."""
        ranges = ((-3, 3), (-3, 3), (2, 18), (0, 50))
        down, across, grain, fold = (dice(*r)[:, None, None] for r in ranges)
        place = np.arange(SIZE) - SIZE // 2
        light = down * place[:, None] + across * place + (dice.noise * grain >> 7)  # of 256
        folds = dice.noise[:, :4].sum(axis=1, keepdims=True)  # [n, 1, 28]: one number per column
        light += (folds + np.roll(folds, 1, axis=2)) * fold >> 10
        return np.clip(self.grey + (self.grey * light >> 8), 0, 255).astype(np.uint8)


# The garments. `dice(low, high)` stands wherever two of a kind may differ. One statement paints one
# part, and keeps its numbers together on as few lines as they need.
# fmt: off
def _top(dice: Dice, art: Canvas, *, chest: Range, waist: Range, hem: Range, end: Range,
         long: int, short: int, woven: int, motif: int) -> tuple[np.ndarray, ...]:
    """What five kinds share, from the shoulders to the hem; returns tone, neck, chest, waist, end.

    Half width of the chest, waist and hem in percent of it, y of the end; then in how many of a
    hundred the sleeves are long, and short, the cloth is patterned, and something is printed on it.
    """
    tone, neck, half, low = dice.tone(), dice(18, 32), dice(*chest), dice(*end)
    middle, edge = half * dice(*waist) // 100, half * dice(*hem) // 100
    art.centred(tone, (4, neck + 3), (24, half - 6), (80, half - 4), (low // 2 - 10, middle),
                (low - 20, edge), (low, edge - dice(0, 12)))
    kind, cloth, shade = dice(1, 100), tone * dice(80, 105) // 100, tone * dice(10, 60) // 100
    reach = np.where(kind <= long, dice(225, 268), dice(70, 120))
    wide = np.where(kind <= long, dice(24, 36), dice(20, 58))
    elbow, cuff = np.minimum(reach - 20, 100), half - 12 + reach * dice(4, 32) // 256
    sleeved = kind <= long + short
    art.pair(cloth, (10, half - 25, half - 18), (35, half - 15, half + wide // 3),
             (elbow, half - 10, half - 10 + wide), (reach, cuff, cuff + wide * 3 // 4),
             only=sleeved)
    art.pair(shade, (35, half - 18, half - 14), (elbow, half - 13, half - 8),
             (reach, cuff - 9, cuff), only=sleeved)  # between sleeve and body
    art.pattern(dice, woven, motif)
    return tone, neck, half, middle, low

def _t_shirt(dice: Dice, art: Canvas) -> None:
    tone, neck, *_ = _top(dice, art, chest=(54, 72), waist=(85, 100), hem=(90, 112),
                          end=(255, 278), long=3, short=80, woven=30, motif=40)
    depth = dice(10, 50)
    art.centred(tone // 2, (0, neck + 4), (depth + 6, 6))
    art.centred(0, (0, neck), (depth // 2, neck * 3 // 4), (depth, 6))

def _trouser(dice: Dice, art: Canvas) -> None:
    tone, hip, knee, hem = dice.tone(), dice(42, 56), dice(38, 52), dice(40, 56)
    waist, gap, crotch, end = hip * dice(75, 95) // 100, dice(4, 20), dice(60, 95), dice(262, 280)
    art.centred(tone, (2, waist), (50, hip), (crotch, hip))
    art.pair(tone, (crotch, 0, hip), (170, gap // 2, knee), (end, gap, hem))
    art.pair(tone * dice(80, 115) // 100, (40, 20, 26), (end, gap + 8, gap + 14))  # crease
    art.pattern(dice, 8, 0)
    art.centred(tone * dice(50, 100) // 100, (2, waist), (16, waist + 2))  # waistband
    art.centred(tone * 3 // 5, (16, 3), (crotch, 2))

def _pullover(dice: Dice, art: Canvas) -> None:
    tone, neck, *_ = _top(dice, art, chest=(58, 76), waist=(90, 105), hem=(88, 105),
                          end=(245, 278), long=97, short=3, woven=30, motif=25)
    depth = dice(6, 22)
    art.centred(tone * 3 // 5, (0, neck + 4), (depth + 7, 8))
    art.centred(0, (0, neck), (depth, 8), only=dice.chance(70))  # the others have a high neck

def _dress(dice: Dice, art: Canvas) -> None:
    tone, neck, _, waist, end = _top(dice, art, chest=(34, 54), waist=(65, 95), hem=(85, 170),
                                     end=(265, 280), long=18, short=35, woven=20, motif=5)
    belt = end // 2 - 10
    art.centred(tone * dice(40, 100) // 100, (belt - 6, waist + 1), (belt + 6, waist + 1))
    art.pair(tone * 4 // 5, (belt, 6, 9), (end, 20, 26), only=dice.chance(50))  # pleats
    art.centred(0, (0, neck), (dice(15, 55), dice(2, 12)))

def _coat(dice: Dice, art: Canvas) -> None:
    tone, neck, *_, end = _top(dice, art, chest=(52, 72), waist=(86, 100), hem=(92, 114),
                               end=(262, 280), long=100, short=0, woven=10, motif=0)
    dark, light = tone * dice(20, 60) // 100, np.minimum(tone * dice(100, 140) // 100, 255)
    depth, buttons = dice(15, 105), dice.chance(50)
    art.centred(dark, (0, neck), (depth, 3))  # the lining that the open collar shows
    art.pair(light, (0, neck - 10, neck + 8), (depth * 2 // 3, 10, 32), (depth, 0, 4))  # lapels
    art.centred(dark, (depth, 3), (end, 3 + dice(0, 6)))  # the opening
    for y in (120, 155, 190, 225):
        art.paint(light, (y, 148, 158), (y + 10, 148, 158), only=buttons)
    art.pair(dark, (180, 22, 44), (188, 22, 44), only=dice.chance(70))  # pockets

def _shirt(dice: Dice, art: Canvas) -> None:
    tone, neck, *_, end = _top(dice, art, chest=(52, 74), waist=(85, 100), hem=(80, 106),
                               end=(250, 276), long=65, short=32, woven=50, motif=5)
    dark, light = tone * dice(30, 75) // 100, np.minimum(tone * dice(100, 130) // 100, 255)
    depth, front = dice(18, 45), dice.chance(75)
    art.centred(dark, (0, neck), (depth, 2))
    art.pair(light, (2, neck - 8, neck + 4), (depth, 2, 26), (depth + 10, 12, 20), only=front)
    art.centred(light, (depth, 7), (end, 7), only=front)  # the button strip
    for y in (60, 100, 140, 180, 220):
        art.centred(dark, (y, 5), (y + 10, 5), only=front)

def _bag(dice: Dice, art: Canvas) -> None:
    tone, half, low, rise = dice.tone(), dice(90, 138), dice(230, 278), dice(25, 90)
    top, rim = np.maximum(low - half * dice(95, 165) // 100, 30), half * dice(70, 102) // 100
    arm, peak, handle = half * dice(30, 75) // 100, np.maximum(top - rise, 3), dice.chance(80)
    for shade, inset in ((tone * dice(60, 110) // 100, 0), (0, dice(8, 16))):  # an arch, cut out
        y, x = peak + inset, arm - inset
        art.centred(shade, (y, x // 2), (y + rise // 6, x * 4 // 5), (y + rise // 2, x),
                    (top + 16, x), only=handle)
    art.centred(tone, (top, rim - 12), (top + 12, rim), (low - 15, half), (low, half - dice(6, 30)))
    art.pattern(dice, 20, 10)
    dark, flap = tone * dice(50, 85) // 100, top + (low - top) * dice(15, 60) // 100
    art.centred(dark, (flap, rim), (flap + 8, rim), only=dice.chance(70))
    art.centred(dark, (flap - 6, 9), (flap + 20, 9), only=dice.chance(60))  # clasp

# Shoes are painted on their side: "y" runs from the toe to the heel, "left" is up, "right" is down.
def _sole(dice: Dice, art: Canvas, tone: Number, ball: Number, back: Number, deep: Number) -> None:
    """A sole, flat under the ball of the foot and climbing to the heel, and the heel below."""
    heel, ground = dice(8, 50), ball + deep
    art.paint(tone, (4, ball - 4, ground - 4), (20, ball, ground), (110, ball, ground),
              (215, back, back + deep), (274, back - 3, back + deep))
    art.paint(tone, (255 - heel, back, back + deep), (266 - heel, back, ground),
              (268, back, ground))

def _sandal(dice: Dice, art: Canvas) -> None:
    tone, thick, wide = dice.tone(), dice(12, 40), dice(8, 18)
    ball, rise = dice(205, 265) - thick, dice(40, 130) * dice.chance(50)
    back, ankle = ball - rise, np.maximum(ball - rise - dice(35, 95), 8)
    for begin, share in ((dice(18, 40), 90), (dice(65, 90), 55)):  # straps over the toes, arches
        high, span, low = dice(25, 50), dice(54, 80), ball - dice(12, 34)
        art.paint(tone, (begin, low, ball), (begin + span // 3, low - high, ball - high),
                  (begin + span, low, ball), only=dice.chance(share))
    held = dice.chance(80) | (rise > 0)  # by straps from the toes, around, behind
    art.paint(tone, (70, ball - 40, ball - 40 + wide), (205, ankle, ankle + wide),
              only=held & dice.chance(65))
    art.paint(tone, (175, ankle + 10, ankle + 12 + wide), (215, ankle, ankle + wide),
              (266, ankle + 12, ankle + 12 + wide), only=held)
    art.paint(tone, (205, back - 4, back), (262 - wide, back - 12, back),
              (262 - wide // 2, ankle + 12, back), (272, ankle + 14, back + 4), only=held)
    _sole(dice, art, dice.tone(), ball, back, thick)

def _sneaker(dice: Dice, art: Canvas) -> None:
    tone, thick, tall = dice.tone(), dice(12, 30), dice(60, 105)
    foot = dice(190, 225) - thick
    tongue, toe = foot - tall, foot - dice(20, 35)
    trim = np.clip(tone + dice(50, 130) * (1 - 2 * dice.chance(50)), 25, 250)
    art.paint(tone, (5, toe + 14, foot), (22, toe, foot), (85, toe - 20, foot), (150, tongue, foot),
              (172, tongue - 5, foot), (205, tongue + dice(10, 30), foot),
              (262, tongue + dice(-5, 15), foot), (276, foot - 30, foot))
    art.paint(tone // 3, (165, tongue, tongue + 8), (258, tongue + 14, tongue + 24))  # opening
    art.paint(trim, (6, toe + 14, foot), (22, toe, foot), (48, toe, foot), only=dice.chance(40))
    art.paint(trim, (240, foot - 60, foot - 45), (272, foot - 60, foot - 20), only=dice.chance(50))
    art.paint(trim, (100, foot - 22, foot - 18), (150, foot - 25, foot - 8),
              (235, foot - 50, foot - 40), only=dice.chance(60))  # a stripe on the side
    for x in (90, 108, 126, 144):  # laces
        y = toe - 20 + (tongue - toe + 20) * (x - 85) // 65
        art.paint(trim, (x, y, y + 18), (x + 8, y, y + 24))
    _sole(dice, art, dice.tone(), foot, foot, thick)

def _ankle_boot(dice: Dice, art: Canvas) -> None:
    tone, thick, front, laced = dice.tone(), dice(8, 26), dice(120, 150), dice.chance(40)
    ball, rise = dice(225, 275) - thick, dice(10, 95)
    back, toe = ball - rise, ball - dice(25, 40)
    shaft, instep = np.maximum(back - dice(110, 190), dice(4, 12)), (toe + back) // 2
    trim = np.clip(tone + dice(30, 90) * (1 - 2 * dice.chance(70)), 20, 250)
    art.paint(tone, (6, toe + 15, ball), (24, toe, ball), (80, toe - 22, ball),
              (front - 15, instep - 45, ball), (front, instep - 70, ball - rise // 4),
              (front + 8, shaft, ball - rise // 3), (215, shaft, back),
              (258, shaft + dice(-6, 10), back), (268, back - 50, back))
    art.paint(trim, (front + 8, shaft, shaft + 14), (258, shaft, shaft + 14), only=dice.chance(50))
    art.paint(trim, (200, shaft, back - 40), (215, shaft, back - 40), only=dice.chance(50))
    for share in (20, 35, 50, 65):
        y = shaft + (back - shaft) * share // 100
        art.paint(trim, (front, y, y + 8), (front + 35, y + 6, y + 12), only=laced)
    _sole(dice, art, tone * dice(25, 110) // 100, ball, back, thick)

PAINTERS = (_t_shirt, _trouser, _pullover, _dress, _coat,
            _sandal, _shirt, _sneaker, _bag, _ankle_boot)  # in the order of CLASSES
# fmt: on


def _draw(label: int, dice: Dice) -> np.ndarray:
    """Sketches of one class, uint8 `[n, 28, 28]`, as `dice` for n falls."""
    art = Canvas(len(dice.noise), shift=dice(-8, 8))
    PAINTERS[label](dice, art)
    if PAINTERS[label] in (_sandal, _sneaker, _ankle_boot):
        art.grey = art.grey.transpose(0, 2, 1)
    return art.finish(dice)
