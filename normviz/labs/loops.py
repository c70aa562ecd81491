"""The plain loop of the lab `memory`, as a program to read: the set of every place of a flat array."""

from normviz.core.pooling import Pooling

LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}
"""The order of the axes in memory, the last one running fastest."""


def python_loop(sets: Pooling, layout: str) -> str:
    """Return a plain loop as Python text: `labels(x)` gives the set of every place of the flat array x."""
    indices, number = _arithmetic(sets, layout, "{} // {}")
    body = "\n        ".join(f"{name} = {value}" for name, value in indices)
    return (
        f"N, C, H, W = {', '.join(map(str, sets.shape))}\n\n"
        "# x: N*C*H*W values in a row\n"
        "def labels(x):\n"
        "    found = []\n"
        "    for p in range(len(x)):\n"
        f"        {body}\n"
        f"        found.append({number})\n"
        "    return found"
    )


def javascript_loop(sets: Pooling, layout: str) -> str:
    """Return the same loop as JavaScript text."""
    indices, number = _arithmetic(sets, layout, "Math.floor({} / {})")
    body = "\n    ".join(f"const {name} = {value};" for name, value in indices)
    return (
        f"const [N, C, H, W] = [{', '.join(map(str, sets.shape))}];\n\n"
        "// x: N*C*H*W values in a row\n"
        "function labels(x) {\n"
        "  const found = [];\n"
        "  for (let p = 0; p < x.length; p++) {\n"
        f"    {body}\n"
        f"    found.push({number});\n"
        "  }\n"
        "  return found;\n"
        "}"
    )


LOOPS = {"Python": python_loop, "JavaScript": javascript_loop}


def _arithmetic(sets: Pooling, layout: str, divide: str) -> tuple[list[tuple[str, str]], str]:
    """Return how n, c, h and w follow from the place p, and from them the number of the set, in a language's words."""
    order = ["NCHW"[axis] for axis in LAYOUTS[layout]]
    indices = []
    for k, axis in enumerate(order):
        faster = " * ".join(order[k + 1 :])
        value = divide.format("p", f"({faster})" if "*" in faster else faster) if faster else "p"
        indices.append((axis.lower(), value if k == 0 else f"{value} % {axis}"))
    number = ""
    for name, extent, count in zip("nchw", sets.block, sets.grid, strict=True):
        if count > 1:
            at = name if extent == 1 else divide.format(name, extent)
            before = f"({number})" if "+" in number else number
            number = f"{before} * {count} + {at}" if number else at
    return indices, number or "0"


def shown(text: str) -> str:
    """Return a program as plotly's text: nothing is markup, and no space is lost."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(" ", "\N{NO-BREAK SPACE}").replace("\n", "<br>")
