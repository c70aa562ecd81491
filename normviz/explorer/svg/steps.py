"""The calculation of one cell, step by step, as in panel.js."""

from __future__ import annotations

from collections.abc import Iterator

from normviz.explorer.svg.readout import Data, Readout, State, digits_for, formula, whole

HAT = "x\u0302"
"""x with its hat: a normalized value."""


def step_lines(data: Data, state: State, shown: Readout) -> Iterator[tuple[str, str]]:
    """The name of each of the six steps, and its calculation with the actual numbers."""
    digits = digits_for(shown)
    s, at, centered = shown, ", ".join(str(i) for i in state["index"]), shown.method["centered"]
    absent = "this picture does not carry it"
    m = f"1/{whole(s.size)}"
    yield (
        "pick",
        f"<i>x</i><sub>({at})</sub> = {bold(s.x, digits)}"
        if s.x is not None
        else f"<i>i</i> = ({at}); its single value is not in this picture",
    )
    if s.evaluating:
        yield "gather", "nothing: the running statistics are used"
        yield "mean", f"<i>μ</i> = running mean[{s.cell[1]}] = {bold(s.mean, digits)}"
        yield "variance", f"<i>σ</i>² = running var[{s.cell[1]}] = {bold(s.var)}"
    else:
        yield "gather", f"the {bold_whole(s.size)} {'value' if s.size == 1 else 'values'} of <i>S</i><sub>i</sub>"
        if s.mean is None or s.var is None:
            yield from ((name, absent) for name in ("mean", "variance", "normalize", "scale and shift"))
            return
        yield (
            "mean",
            f"<i>μ</i> = {m} Σ <i>x</i><sub>j</sub> = {bold(s.mean, digits)}"
            if centered
            else "none is taken: <i>μ</i> = <b>0</b>",
        )
        if centered:
            yield "variance", f"<i>σ</i>² = {m} Σ (<i>x</i><sub>j</sub> − <i>μ</i>)² = {bold(s.var)}"
        elif shown.method["statistic"] == "squared norm":
            yield "squared norm", f"‖<i>x</i>‖² = Σ <i>x</i><sub>j</sub>² = {bold(s.var)}"
        else:
            yield "mean square", f"<i>σ</i>² = {m} Σ <i>x</i><sub>j</sub>² = {bold(s.var)}"
    if s.normalized is None or s.y is None:
        spread = "‖<i>x</i>‖²" if shown.method["statistic"] == "squared norm" else "<i>σ</i>²"
        yield "normalize", f"{HAT} = (<i>x</i> − <i>μ</i>) / √({spread} + <i>ε</i>)"
        yield "scale and shift", f"<i>y</i> = <i>γ</i> {HAT} + <i>β</i> = {written(s.gamma)} · {HAT} + {signed(s.beta)}"
        return
    eps = written(data.scene["eps"])
    centred = f"({written(s.x, digits)} − {signed(s.mean, digits)})"
    yield "normalize", f"{HAT} = {centred} / √({written(s.var)} + {eps}) = {bold(s.normalized)}"
    none = "" if data.scene.get("weight") or data.scene.get("bias") else " (no affine)"
    yield (
        "scale and shift",
        f"<i>y</i> = {written(s.gamma)} · {signed(s.normalized)} + {signed(s.beta)} = {bold(s.y)}{none}",
    )


def written(value: float | None, digits: int = 5) -> str:
    """A number for a formula, with a true minus."""
    return formula(value, digits).replace("-", "−")


def signed(value: float | None, digits: int = 5) -> str:
    """The same, in brackets where it is negative."""
    return f"({written(value, digits)})" if value is not None and value < 0 else written(value, digits)


def bold(value: float | None, digits: int = 5) -> str:
    """A result."""
    return f"<b>{written(value, digits)}</b>"


def bold_whole(value: int) -> str:
    """A result that counts."""
    return f"<b>{whole(value)}</b>"
