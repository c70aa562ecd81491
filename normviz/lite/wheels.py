"""Wheels of normviz and of what it needs, for Python in the browser, made of what is installed here.

So no network is needed, and the Python part of every widget has the version of its JavaScript part.
"""

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import normviz

GIVEN = ("ipython", "numpy", "packaging", "traitlets")
"""Pyodide has these."""
JAVASCRIPT = ("jupyterlab-widgets", "widgetsnbextension")
"""These hold JavaScript alone, which is a part of the site."""
BROWSER = {"sys_platform": "emscripten", "platform_system": "Emscripten", "os_name": "posix", "extra": ""}
"""What the markers of requirements are compared with."""

COMPILED = (".so", ".pyd")
LEFT_OUT = (
    # The compiled backend keeps its loops there, too: machine code for the processor here.
    "*__pycache__/*",
    "*.pth",
    *("*.dist-info/" + name for name in ("direct_url.json", "INSTALLER", "RECORD", "REQUESTED", "WHEEL")),
    # The course is among the site's files.
    "normviz/notebooks/*",
    "ipywidgets/*/tests/*",
    # The site has this JavaScript.
    "*/labextension/*",
    "*/nbextension/*",
    # A second plotly.js, of plotly's own widget, and examples of data.
    "plotly/package_data/widgetbundle.js",
    "plotly/package_data/datasets/*",
)
WHEEL = "Wheel-Version: 1.0\nGenerator: normviz\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def normal(name: str) -> str:
    """Return a package's name in the one form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> list[Distribution]:
    """Return normviz and the packages that it needs in the browser; raise ValueError if one is not installed here."""
    from packaging.requirements import Requirement

    found: dict[str, Distribution] = {}
    names = ["normviz"]
    while names:
        name = normal(names.pop())
        if name in found or name in GIVEN or name in JAVASCRIPT:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            raise ValueError(f"{name} is not installed, and the site needs it: python -m pip install {name}") from error
        required = map(Requirement, found[name].requires or ())
        names += [each.name for each in required if each.marker is None or each.marker.evaluate(BROWSER)]
    return list(found.values())


def contents(package: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield the name in a wheel and the place of every file of a package that Python in the browser can use.

    Raise ValueError if the package was compiled and its Python source is not there.
    """
    files = {str(file).replace("\\", "/"): Path(str(file.locate())) for file in package.files or ()}
    if normal(package.name) == "normviz":
        # An editable installation does not list these.
        root = Path(normviz.__file__).parent
        files |= {path.relative_to(root.parent).as_posix(): path for path in root.rglob("*") if path.is_file()}
    for name, path in sorted(files.items()):
        if name.startswith(("..", "/")) or any(fnmatch(name, pattern) for pattern in LEFT_OUT):
            continue
        if name.endswith(COMPILED):
            source = f"{name.partition('.')[0]}.py"
            if source not in files and "__mypyc" not in name:
                raise ValueError(f"{package.name} is compiled, and {source} is missing, so no browser can run it")
            continue
        yield name, path


def write_wheel(package: Distribution, folder: Path) -> Path:
    """Write the wheel of an installed package into a folder, the same bytes at every call, and return its path."""
    stem = f"{normal(package.name).replace('-', '_')}-{package.version}"
    return write(stem, ((name, place.read_bytes()) for name, place in contents(package)), folder)


def write_stand_in(folder: Path) -> Path:
    """Write a wheel without which plotly refuses to show a figure, and return its path.

    Plotly wants nbformat, of which it reads the version alone; nbformat itself needs a compiled package.
    """
    info = "Metadata-Version: 2.1\nName: nbformat\nVersion: 4.2.0\nSummary: A stand-in, for plotly\n"
    files = {"nbformat/__init__.py": '__version__ = "4.2.0"\n', "nbformat-4.2.0.dist-info/METADATA": info}
    return write("nbformat-4.2.0", ((name, text.encode()) for name, text in files.items()), folder)


def write(stem: str, files: Iterable[tuple[str, bytes]], folder: Path) -> Path:
    """Write files, of which one is the METADATA, as a wheel called `stem`, and return its path."""
    path = folder / f"{stem}-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(path, "w", compression := zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:

        def add(name: str, data: bytes) -> None:
            # Without a date of its own, so that the same files give the same wheel.
            wheel.writestr(zipfile.ZipInfo(name), data, compression)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(data)}\n")

        info = ""
        for name, data in files:
            add(name, data)
            if name.endswith(".dist-info/METADATA"):
                info = name.removesuffix("METADATA")
        add(f"{info}WHEEL", WHEEL.encode())
        wheel.writestr(zipfile.ZipInfo(f"{info}RECORD"), "".join(record) + f"{info}RECORD,,\n", compression)
    return path
