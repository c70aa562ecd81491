"""Pages taken apart, for the tests of what is in them."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import numpy as np

HOSTILE = "</script><!-- <script>alert(1)</script> & \" ' é"
X = np.random.default_rng(0).normal(size=(2, 8, 4, 4))


class Reader(HTMLParser):
    """Tags with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def data_of(text: str) -> list[dict]:
    return json.loads(Reader(text).scripts[0])


def inside(fragment: str) -> str:
    """The page that a fragment's frame unpacks."""
    (frame,) = Reader(fragment).find("iframe")
    packed = re.search(r"atob\('([A-Za-z0-9+/=]+)'\)", frame["srcdoc"]).group(1)
    return gzip.decompress(base64.b64decode(packed)).decode()
