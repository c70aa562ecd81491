"""The catalog of sentences that pages, pictures and worksheets say, filled by the same rule as in js/core/sentences.js.

In a text, `{key}` stands for a value, and `{key?one|many}` for the first text if the value is 1 and the second if not.
"""

import json
import re
from collections.abc import Mapping
from importlib.resources import files

PLACE = re.compile(r"\{([a-z]\w*)(?:\?([^|{}]*)\|([^{}]*))?\}", re.ASCII | re.IGNORECASE)
CATALOG: dict[str, dict[str, str]] = json.loads(
    files("normviz.explorer").joinpath("sentences.json").read_text(encoding="utf-8")
)


def say(key: str, /, **values: object) -> str:
    """The text "section.name" of the catalog with its values; KeyError for a text or a value that is missing."""
    section, _, name = key.partition(".")
    if name not in CATALOG.get(section, {}):
        raise KeyError(f"there is no text {key!r}")
    return fill(CATALOG[section][name], values)


def fill(text: str, values: Mapping[str, object]) -> str:
    """The text with its values; what stands in braces inside a value stays as it is."""

    def value(place: re.Match[str]) -> str:
        name, one, many = place.groups()
        if values.get(name) is None:
            raise KeyError(f"{text!r} needs a value for {name!r}")
        given = str(values[name])
        return given if one is None else one if given == "1" else many

    return PLACE.sub(value, text)
