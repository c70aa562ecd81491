"""The warnings of an audit, and the table of the rules that find them.

To add a warning, add one function with the decorator `rule`, and its cause and remedy in `inspect/codes.json`. Its code
is then known to `audit`, to the command line and to the messages about unknown codes. A number that it needs from the
run goes into `Measurements`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from normviz.inspect.audit.tensors import short_name

if TYPE_CHECKING:
    from normviz.inspect.audit.run import LayerRecord


@dataclass(frozen=True)
class AuditWarning:
    """One thing about a layer that an audit warns of.

    Attributes
    ----------
    code
        A key of RULES.
    layer
        Name of the layer.
    message, remedy
        One sentence with the sizes, and how to mend it.
    numbers
        The numbers of the message, by name.
    fix
        The remedy as one or two lines of Python, in which `model` is the model; not part of the JSON.
    """

    code: str
    layer: str
    message: str
    remedy: str
    numbers: dict[str, Any] = field(default_factory=dict)
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.code} at {short_name(self.layer)}: {self.message}; {self.remedy}"


Text = tuple[str, str, dict[str, Any]] | tuple[str, str, dict[str, Any], str]
"""What a rule yields for a warning: message, remedy, the numbers by name, and the remedy as code."""


class Rule(NamedTuple):
    """A function that may warn, and when and on what it is called."""

    apply: Callable
    default: bool
    of_model: bool


RULES: dict[str, Rule] = {}
"""Code -> rule, filled by the decorator `rule`."""


def rule(code: str, *, default: bool = True, of_model: bool = False) -> Callable:
    """Make a function a rule of every audit or, if it is not a `default`, of those that ask for its code.

    It gets the record of one layer and `training_batch`, and yields a Text if it warns. A rule `of_model` gets the
    records of all layers instead, in order of use, and yields pairs of a record and a Text.
    """

    def register(apply: Callable) -> Callable:
        RULES[code] = Rule(apply, default, of_model)
        return apply

    return register


def find_warnings(layers: Sequence[LayerRecord], training_batch: int | None, codes: set[str]) -> list[AuditWarning]:
    """Return the warnings with these codes: those of single layers in order of use, then those of the model."""
    rules = [(code, row) for code, row in RULES.items() if code in codes]
    found = [(c, r, t) for r in layers for c, row in rules if not row.of_model for t in row.apply(r, training_batch)]
    found += [(c, r, t) for c, row in rules if row.of_model for r, t in row.apply(layers, training_batch)]
    return [AuditWarning(code, record.name, *text) for code, record, text in found]
