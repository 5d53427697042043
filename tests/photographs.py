"""Folders of captioned photographs for tests: drawn scenes in COCO's form."""

import json
from pathlib import Path

from PIL import Image

from t2i_course.data.captions import captions
from t2i_course.data.shapes import draw, scene


def folder_of(path: Path, n: int = 24, side: int = 32, name: str = "captions_train.json") -> Path:
    """`n` pictures of `side` pixels, a little wider than high, with five captions each."""
    (path / "images").mkdir(parents=True, exist_ok=True)
    (path / "annotations").mkdir(exist_ok=True)
    images, said = [], []
    for k in range(n):
        one = scene(k)
        picture = Image.fromarray(draw(one, side).transpose(1, 2, 0))
        wide = Image.new("RGB", (side + 4, side), "white")
        wide.paste(picture, (2, 0))
        wide.save(path / "images" / f"photo {k:03d}.png")
        images.append({"id": k, "file_name": f"photo {k:03d}.png", "license": 4})
        said += [{"image_id": k, "caption": text} for text in captions(one, k)]
    content = json.dumps({"images": images, "annotations": said})
    (path / "annotations" / name).write_text(content, encoding="utf-8")
    return path
