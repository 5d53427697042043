"""A server in COCO's place that misbehaves as it is told, image by image."""

import http.server
import io
import threading
import time
import zipfile
from collections import Counter, defaultdict
from email.utils import formatdate

import numpy as np
from PIL import Image

COUNT = 12
SIDES = [(64, 48), (40, 60), (50, 50)]  # width and height of one image after the other


def name(k: int) -> str:
    return f"{k + 1:012d}.jpg"


def jpeg(k: int, kind: str = "JPEG", side: tuple[int, int] | None = None) -> bytes:
    """An image that nothing else is like: a slope and noise, by its number."""
    width, height = side or SIDES[k % 3]
    slope = np.linspace(0, 150, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    noise = np.random.default_rng(k).integers(0, 40, (height, width, 3))
    file = io.BytesIO()
    Image.fromarray((slope + noise).astype(np.uint8)).save(file, kind)
    return file.getvalue()


def annotations(count: int = COUNT) -> dict:
    """In COCO's form; every third image has a sixth caption."""
    images = [
        {"id": k + 1, "file_name": name(k), "width": SIDES[k % 3][0], "height": SIDES[k % 3][1],
         "license": k % 6, "flickr_url": f"http://flickr.test/{k}"}
        for k in range(count)
    ]  # fmt: skip
    said = [
        {"id": 10 * k + j, "image_id": k + 1, "caption": f"Caption {j} of {k}."}
        for j in range(6) for k in range(count) if j < 5 or k % 3 == 0
    ]  # fmt: skip
    return {"info": {}, "images": images, "annotations": said, "licenses": []}


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return file.getvalue()


class Server:
    """Files by path; `trouble[path]` is what goes wrong at each time of asking, "" for nothing, the
    last of them for ever."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.trouble: dict[str, list[str]] = defaultdict(lambda: [""])
        self.asked: Counter[str] = Counter()
        self.times: dict[str, list[float]] = defaultdict(list)
        self.ranges: list[str] = []
        self.hold_after = 10**9  # answers; then every other waits until `released`
        self.lock = threading.Lock()
        self.released = threading.Event()  # ends what waits
        handler = type("Handler", (_Handler,), {"owner": self})
        self.http = _Listening(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        self.http.shutdown()
        self.http.server_close()


class _Listening(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: Server

    def do_GET(self):
        owner, path = self.owner, self.path
        with owner.lock:
            turn = owner.asked[path]
            owner.asked[path] += 1
            owner.times[path].append(time.monotonic())
            held = owner.asked.total() > owner.hold_after
        troubles = owner.trouble[path]
        trouble, _, detail = troubles[min(turn, len(troubles) - 1)].partition(" ")
        if held:
            owner.released.wait(60)
        if path not in owner.files:
            trouble = "404"
        if trouble == "late":
            owner.released.wait(0.2)
        if trouble == "drop":
            self.close_connection = True
            return
        if trouble.isdigit():
            self.send_response(int(trouble))
            if detail:
                after = formatdate(time.time() + 2, usegmt=True) if detail == "date" else detail
                self.send_header("Retry-After", after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content, status = owner.files[path], 200
        if trouble == "wrong":
            content = bytes(reversed(content))
        elif trouble == "other":  # a whole image, but not this one
            content = jpeg(0, side=(16, 16))
        elif trouble == "page":
            content = b"<html><body>Please log in</body></html>"
        headers = {}
        wanted = self.headers.get("Range")
        if wanted and trouble != "whole":
            owner.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(content) else 416
            whole = f"{start}-{len(content) - 1}" if status == 206 else "*"
            headers["Content-Range"] = f"bytes {whole}/{len(content)}"
            content = content[start:] if status == 206 else b""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if trouble != "unsaid":  # how long it is
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if trouble in ("short", "unsaid"):
            content = content[: len(content) // 2]
        if trouble == "stall":
            self.wfile.write(content[:100])
            self.wfile.flush()
            owner.released.wait(10)
            return
        if trouble == "drip":
            for byte in content:
                if owner.released.wait(0.02):
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        self.wfile.write(content)

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client went away
            self.close_connection = True

    def log_message(self, *_):
        pass
