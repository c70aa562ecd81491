"""Write a file completely or not at all: the content goes to a temporary file that then replaces the target."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from normviz.core.errors import brief


def check_path(path: Any) -> Path:
    """Return a path that can be written to.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path, or is empty.
    OSError
        If it is a folder, lies in a folder that does not exist, or is a link that leads to itself.
    """
    try:
        name = os.fspath(path)
    except TypeError:
        name = None
    if not isinstance(name, str):
        raise TypeError(f"path must be a str or a Path, not {type(path).__name__}")
    if not name:
        raise ValueError("path is empty; give the name of a file")
    target = Path(name)
    try:
        wrong = "a null character" if b"\0" in os.fsencode(name) else ""
    except UnicodeEncodeError:
        wrong = "half a character (a lone surrogate)"
    if wrong:
        raise ValueError(f"path {brief(name)} holds {wrong}, which no file name may have")
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent} to write {target.name} into; make it first")
    with suppress(FileNotFoundError):
        target.stat()  # a link that leads to itself
    return target


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write text (as UTF-8) or bytes to a file, completely or not at all.

    An existing file keeps its permissions; a new one gets those of any new file. A link stays a link. A device or a
    pipe (/dev/stdout) cannot be replaced and is written to directly. An OSError names the target.
    """
    target = check_path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _replace(check_path(target.resolve()), data)
    except OSError as error:
        if not error.strerror:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


def _replace(target: Path, data: bytes) -> None:
    mode = stat.S_IMODE(target.stat().st_mode) & 0o777 if target.exists() else None
    part = target.with_name(f".normviz-{secrets.token_hex(8)}.part")
    # The operating system applies the umask; reading the umask would change it for all threads for a moment.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(part, flags, 0o666 if mode is None else mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if mode is not None:
            part.chmod(mode)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
