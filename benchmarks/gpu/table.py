"""The rows of a report as lines to read."""

from typing import Any

LAYER = ("what", "dtype", "MB", "ms", "host_ms", "gpu_ms", "torch_ms", "torch_host_ms", "vs_torch", "of_floor")
COLUMNS = {
    "ceilings": ("read_GBs", "torch_sum_GBs", "copy_GBs"),
    "host": ("what", "GB", "s", "GBs"),
    "error": ("dtype", "shape", "m2_relative", "mean", "output", "torch_output"),
    "moments": ("dtype", "shape", "GB", "ms", "of_read"),
    "forward": ("dtype", "shape", "G", "ms", "torch_ms", "torch_compile_ms", "vs_torch", "of_floor", "of_copy"),
    "sweep": ("dtype", "shape", "configurations", "ms", "with_host_ms", "vs_var_mean", "vs_one_pass", "vs_norms"),
    "layer": LAYER,
    "gradient": LAYER,
}


def table(report: dict[str, Any]) -> str:
    """Return one table a kind of row; what was not measured is left empty."""
    lines = [", ".join([report["device"], *(f"{name} {v}" for name, v in report["versions"].items()), report["date"]])]
    for kind, columns in COLUMNS.items():
        rows = [[_text(row.get(name)) for name in columns] for row in report["rows"] if row["kind"] == kind]
        if rows:
            cells = [columns, *rows]
            widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
            lines += ["", kind]
            lines += ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "x".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
