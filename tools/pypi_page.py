"""README.md as the page of the package index.

Relative links lead nowhere there, so they become links to the files of the release in the repository.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(!?)(\[[^]]*\])\((?!https?:|#)([^)]+)\)")


def absolute(text: str, repository: str, tag: str) -> str:
    """Return Markdown whose relative links and images lead to the files of a tag.

    >>> absolute("![a](docs/a.png), [b](b.md#c)", "https://x.y", "v1")
    '![a](https://x.y/raw/v1/docs/a.png), [b](https://x.y/blob/v1/b.md#c)'
    """
    return RELATIVE.sub(lambda m: f"{m[1]}{m[2]}({repository}/{'raw' if m[1] else 'blob'}/{tag}/{m[3]})", text)


class Readme(MetadataHookInterface):
    """Hatchling calls it for each build."""

    def update(self, metadata: dict) -> None:
        """Set the field `readme`."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = absolute(text, metadata["urls"]["Repository"], f"v{metadata['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
