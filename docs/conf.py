"""Sphinx's settings for the book; `make book` copies notebooks and pages into one folder and builds it from there."""

import json
import re
from importlib.resources import files
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import normviz
from benchmarks import plot, tables
from normviz.book import chart
from normviz.core.methods import METHODS
from normviz.core.references import REFERENCES
from normviz.labs import published

project = "normviz"
author = "normviz contributors"
copyright = "normviz contributors, MIT licence"
release = version = normviz.__version__

extensions = ["myst_nb", "normviz.book", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
language = "en"

html_theme = "pydata_sphinx_theme"
html_title = "normviz"
html_static_path = ["_static"]
html_css_files = ["book-theme.css"]
html_favicon = "_static/logo.svg"
html_extra_path = ["downloads"]
exclude_patterns = ["downloads"]
html_copy_source = False
html_show_sphinx = False
# A page opened from the disk may not read other pages, so excerpts of search results would only raise errors.
html_show_search_summary = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "text": "normviz"},
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "back_to_top_button": False,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "collapse_navigation": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"index": [], "**": ["sidebar-nav-bs"]}

# Notebooks are stored without outputs, so every page shows the outputs of this version.
nb_execution_mode = "force"
nb_execution_timeout = -1  # a slow machine may take its time
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"  # the default format has no tables
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # in a notebook, sections may start below level 2

# Docstrings are written for reading in an editor: plain text with `code` in backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


TITLES = {
    "version": "Version", "explorer": "Explorer", "note": "Note", "date": "Seen on", "page": "an exported page",
    "linked": "two linked explorers", "frame": "the frame of show", "predict": "Predict", "tensor": "the panel Tensor",
}  # fmt: skip
"""What the keys of hosts.json are called."""


def _plain(_app: object, _what: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Escape stars and bars: "(N, C, *spatial)" starts no emphasis, and |S| is no substitution."""
    lines[:] = [line if ">>>" in line else re.sub(r"(?<!\\)([*|])", r"\\\1", line) for line in lines]


class Codes(SphinxDirective):
    """All codes of `check`, `audit` or `record`, with cause and remedy, under the headings of codes.json."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the sections; each code has an anchor, such as check-unbiased-variance."""
        (tool,) = self.arguments
        text = ""
        for title, codes in json.loads((files("normviz.inspect") / "codes.json").read_text("utf-8"))[tool].items():
            text += f"### {title}\n\n"
            for code, said in codes.items():
                text += f'<a id="{tool}-{code}"></a>`{code}`\n'
                text += f": {said['cause']}\n\n  **Remedy.** {said['remedy']}\n\n"
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Speed(SphinxDirective):
    """A table of speed.json by its name in `benchmarks.tables`, or the chart."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes of what was measured."""
        (name,) = self.arguments
        path = Path(__file__).with_name("speed.json")
        self.env.note_dependency(str(path))
        report = json.loads(path.read_text("utf-8"))
        if name == "chart":
            return [nodes.raw("", chart(plot.figure(report).to_plotly_json()), format="html")]
        made = next(part[name] for part in tables.TABLES.values() if name in part)
        return self.parse_text_to_nodes(made(report))


class Hosts(SphinxDirective):
    """A table of hosts.json: a row for each of the `hosts`, or a column for each of the `engines`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table: version, what was seen, a note, and the day."""
        path = Path(__file__).with_name("hosts.json")
        self.env.note_dependency(str(path))
        rows = json.loads(path.read_text("utf-8"))[self.arguments[0]]
        if not rows:
            return self.parse_text_to_nodes("*No run so far.*")
        heads = [TITLES.get(key, key) for key in next(iter(rows.values()))]
        lines = [["Part" if self.arguments[0] == "engines" else "Host", *heads]]
        lines += [[f"**{name}**", *row.values()] for name, row in rows.items()]
        if self.arguments[0] == "engines":
            lines = [[*line] for line in zip(*lines, strict=True)]
        else:  # the version stands below the name, so that the table fits the column of the text
            lines = [[" ".join(line[:2]), *line[2:]] for line in lines]
        lines.insert(1, ["---"] * len(lines[0]))
        # No line may break within a date.
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return self.parse_text_to_nodes(re.sub(r"(\d{4})-(\d\d)-(\d\d)", "\\1\u2011\\2\u2011\\3", text))


def table(rows: list[list[str]]) -> str:
    """A table in Markdown; the first row holds the heads."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def methods() -> str:
    """All rows of METHODS in one table."""
    pooled = {"one": "one", "group": "C/G", "all": "all"}
    heads = "Method, Pools channels, Couples samples, At inference, Learned, Folds, Usual place"
    rows = [heads.split(", ")]
    for row in METHODS.values():
        weights, yes = row.axes == "weights", {True: "yes", False: "no"}
        rows.append([
            row.label,
            "all Cin" if weights else pooled[row.c],
            "no data" if weights else "within a slice" if row.n == "group" else yes[row.couples_samples],
            "buffers: running μ, σ²" if row.couples_samples else "the same",
            re.sub("^scale", "γ", re.sub("^per", "γ, β per", row.affine)),
            "–" if weights else "yes" if row.couples_samples else "no",
            row.place,
        ])  # fmt: skip
    return table(rows)


def references() -> str:
    """All papers, in the order of their years, and what they are cited for."""
    rows = [["Reference", "Title", "Cited for"]]
    for one in REFERENCES:
        uses = [row.label for row in METHODS.values() if one.name in row.reference]
        uses += [one.topic] if one.topic else []
        if any(one.name in source.source for source in published.TABLES):
            uses.append("numbers in [the lab of published results](labs.md)")
        rows.append([one.name, f"[{one.title}]({one.link})", "; ".join(uses)])
    return table(rows)


class Made(SphinxDirective):
    """The table of all methods, or that of all references."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.parse_text_to_nodes({"methods": methods, "references": references}[self.arguments[0]]())


def setup(app: object) -> None:
    """Connect the escaping of docstrings and the directives `codes`, `speed`, `hosts` and `made` with Sphinx."""
    app.connect("autodoc-process-docstring", _plain, priority=400)  # type: ignore[attr-defined]
    app.add_directive("codes", Codes)  # type: ignore[attr-defined]
    app.add_directive("made", Made)  # type: ignore[attr-defined]
    app.add_directive("speed", Speed)  # type: ignore[attr-defined]
    app.add_directive("hosts", Hosts)  # type: ignore[attr-defined]
