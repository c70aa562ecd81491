"""Compile a loop at its first call, and keep the machine code on disk for every later process.

numba has a cache of its own, which this one replaces. In numba's, two processes that compile at the same time can mix
up the entries of an index, a change in a function that the loop calls from another file goes unnoticed, and a damaged
file is an error. Here each piece of machine code is one file. Its name says all that it depends on, and a checksum
protects it. A file that is missing, damaged or cannot be written costs a compilation and nothing else.
"""

# numba has no types for much of what is used here.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportPrivateImportUsage=false

import hashlib
import os
import pickle
import pkgutil
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

import numba

from normviz import atomic_write
from normviz.backends.compiled import readiness
from normviz.backends.failure import BackendFailure

try:
    from numba.core.compiler import CompileResult
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target
    from numba.core.serialize import dumps
    from numba.misc.appdirs import AppDirs
except ImportError:  # numba does not promise to keep these; without them every process compiles for itself
    KEEPS = False
else:
    KEEPS = True


class CannotCompile(BackendFailure, RuntimeError):
    """numba cannot compile a loop here."""


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """Decorate a loop: it is compiled for the types of its arguments at the first call with them, or read from disk.

    `options` are those of numba.njit. The loop releases Python's lock while it runs. What only loops call is decorated
    with `part_of_loop`.

    Raises
    ------
    CannotCompile
        By a call, if numba or LLVM fails; nothing has run then.
    """

    def decorate(function: Callable) -> Any:
        loop: Any = numba.njit(nogil=True, **options)(function)
        if KEEPS:
            loop._cache = _Files(function.__name__)
        compile_or_load = loop.compile

        def compile(signature: Any) -> Any:
            try:
                entry = compile_or_load(signature)
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                readiness.failure = f"numba {numba.__version__} cannot compile here ({type(error).__name__}: {reason})"
                raise CannotCompile(readiness.failure) from error
            readiness.ready = True
            return entry

        loop.compile = compile
        return loop

    return decorate


class _Files:
    """The machine code of one function on disk, in the place of numba's cache."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cache_path = None

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the compiled function, or None if it is not on disk."""
        for folder in folders():
            try:
                context.refresh()
                name, key = self._entry(signature)
                data = (folder / name).read_bytes()
                if data[:32] == hashlib.sha256(key + data[32:]).digest():
                    return CompileResult._rebuild(context, *pickle.loads(data[32:]))
            except Exception:  # no such file, or one that this numba cannot read
                continue
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write a compiled function to disk, if there is a place."""
        folder = writable_folder()
        if folder is None:
            return
        try:
            if result.library.has_dynamic_globals:
                return
            name, key = self._entry(signature)
            data = dumps(result._reduce())
            atomic_write.write(folder / name, hashlib.sha256(key + data).digest() + data)
            if folder == _beside_bytecode():  # no other version of normviz uses this folder
                for old in folder.glob(f"{name.rpartition('-')[0]}-*.bin"):
                    if old.name != name:
                        old.unlink(missing_ok=True)
        except Exception:  # the disk is full, or this numba has it otherwise
            return

    def _entry(self, signature: Any) -> tuple[str, bytes]:
        """Return the name of the file, and all that the machine code in it depends on."""
        types, processor = repr(signature), repr(_processor())
        key = f"{self.name} {types} {processor} {_build()}".encode()
        return f"{self.name}-{_short(types)}-{_short(processor)}-{_build()}.bin", key


def part_of_loop(**options: Any) -> Callable[[Callable], Any]:
    """Decorate a function that only loops call; without what Python would need to call it, it compiles faster."""
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)


def kept() -> int:
    """Return how many pieces of machine code are on disk for this processor and this version."""
    ending = f"*-{_short(repr(_processor()))}-{_build()}.bin" if KEEPS else ""
    return len({file.name for folder in folders() for file in folder.glob(ending)})


def processor() -> str:
    """Return the name of the processor that is compiled for, and its widest vector instructions."""
    _, name, features = _processor() if KEEPS else ("", platform.machine(), "")
    widest = {"+avx512f": "AVX-512", "+avx2": "AVX2", "+avx": "AVX", "+sve": "SVE", "+neon": "NEON"}
    return " with ".join([name, *[label for flag, label in widest.items() if flag in features.split(",")][:1]])


def folders() -> Iterator[Path]:
    """Yield the folders that may hold machine code, in the order in which they are looked through.

    NUMBA_CACHE_DIR comes first, then the folder of the package's own bytecode, then the user's cache. A folder of
    another user is left out, because to read machine code is to trust its author.
    """
    if not KEEPS:
        return
    of_user = Path(AppDirs("normviz", appauthor=False).user_cache_dir)
    chosen = Path(numba.config.CACHE_DIR, "normviz") if numba.config.CACHE_DIR else None
    # A user without a home has no cache folder.
    for folder in (chosen, _beside_bytecode(), of_user if of_user.is_absolute() else None):
        if folder is not None and _trusted(folder):
            yield folder


def _trusted(folder: Path) -> bool:
    """Return whether a folder belongs to this user, to root or to the owner of numba, or cannot be looked at."""
    try:
        owner = folder.stat().st_uid
    except OSError:  # it does not exist yet, for instance
        return True
    this_user = os.getuid() if hasattr(os, "getuid") else owner
    return owner in (0, this_user, Path(numba.__path__[0]).stat().st_uid)


@cache
def writable_folder() -> Path | None:
    """Return the first folder that files can be written to; None if there is none."""
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def _beside_bytecode() -> Path | None:
    try:
        return Path(cache_from_source(__file__)).parent
    except NotImplementedError:  # this Python keeps no bytecode
        return None


def _processor() -> tuple[str, str, str]:
    """Return the platform, the processor and its features, as numba compiles for them."""
    return cpu_target.target_context.codegen().magic_tuple()


@cache
def _build() -> str:
    """Return a short name for the versions of Python and numba and for the source text of all loops."""
    parts = [sys.implementation.cache_tag or "", numba.__version__]
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(sys.modules[package].__path__, f"{package}."):
        spec = find_spec(module.name)
        get_source = getattr(spec and spec.loader, "get_source", None)  # also inside a zip file
        parts.append(str(get_source and get_source(module.name)))
    return _short("\n".join(parts))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if KEEPS and hasattr(os, "register_at_fork"):
    # A fork waits for a compilation on another thread. In the child that thread would be gone, and its lock still held.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
