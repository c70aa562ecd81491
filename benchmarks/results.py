"""What a run has measured, as JSON: each benchmark writes its own part of one file, with the machine and the date.

docs/speed.json holds the runs of which the book's page on speed is made; `make bench-docs` measures them again.
"""

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from normviz.atomic_write import write

FEATURES = ("avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_bf16", "avx512_fp16", "amx_tile", "asimd", "sve")
"""What of a processor's features makes a difference to sums and half precision."""
PACKAGES = ("numpy", "numba", "torch", "dask")


def save(path: Path | None, part: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return what was found with the date and the machine; with a file, replace that part of it and keep the others."""
    report = json.loads(path.read_text("utf-8")) if path and path.exists() else {}
    report[part] = rounded({"date": time.strftime("%Y-%m-%d"), "machine": machine(), **found})
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, as_text(report))
    return report


def as_text(report: dict[str, Any]) -> str:
    """Return JSON with a line for each row, so that a new run changes the lines that it measured."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    parts = []
    for name, part in report.items():
        rows = "".join(f",\n  {line(row)}" for row in part.get("rows", ()))[1:]
        lines = [f" {line(key)}: {line(value)}" for key, value in part.items() if key != "rows"]
        parts.append(f"{line(name)}: {{\n" + ",\n".join([*lines, *([f' "rows": [{rows}\n ]'] if rows else [])]) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def rounded(value: Any) -> Any:
    """Return the value with four digits of every float, which is more than a time has."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def machine() -> dict[str, Any]:
    """Return what the figures were taken on: processor, features, caches, cores, memory, versions."""
    told: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        key, _, value = line.partition(":")
        told.setdefault(key.strip(), value.strip())
    flags = told.get("flags", told.get("Features", "")).split()
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            caches[f"L{level}"] = size
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": told.get("model name") or platform.processor() or platform.machine(),
        "family": "/".join(told[key] for key in ("cpu family", "model", "stepping") if key in told),
        "features": [name for name in FEATURES if name in flags],
        "caches": caches,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "GiB": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }
