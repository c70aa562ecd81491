"""The command ``normviz``: a page to look at, the course, one's own tensor as a page, a model audited."""

from __future__ import annotations

import os
import shutil
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from traitlets import TraitError

import normviz as nv

NOTEBOOKS = "normviz-notebooks"
INSTRUCTOR = Path("normviz-instructor")
FIRST_NOTEBOOK = "00_tour.ipynb"
PAGE = Path("normviz.html")

output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=PAGE,
    show_default=True,
    help="The file to write: a page, or a still picture if it ends in .svg.",
)

# What bad input raises; each carries a sentence for the reader, who has no use for a traceback.
BAD_INPUT = (click.ClickException, ValueError, TypeError, TraitError, OSError, MemoryError)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command, with the process's own arguments unless given others, and return its exit code.

    It is 2, after one line on stderr, for input that can't be used.
    """
    try:
        return cli.main(args=args, prog_name="normviz", standalone_mode=False) or 0
    except click.Abort:
        return 130
    except BAD_INPUT as error:
        click.echo(f"normviz: {one_line(error)}", err=True)
        return 2


def one_line(error: Exception) -> str:
    """Give an error's own sentence, on one line."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(nv.__version__, prog_name="normviz", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """See which cells of a tensor share a mean and a variance."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@output_option
@click.option("--no-open", is_flag=True, help="Write the page, but leave the browser alone.")
def demo(output: Path, no_open: bool) -> None:
    """Write a page with real activations to explore, and open it.

    The page is one file that asks the network for nothing.
    """
    write(nv.Explorer(nv.samples.activations()), output)
    if not no_open and not webbrowser.open(output.resolve().as_uri()):
        click.echo(f"No browser could be started; open {output.resolve()} in one.")


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("jupyter_options", nargs=-1, type=click.UNPROCESSED)
def lab(jupyter_options: tuple[str, ...]) -> None:
    """Copy the course to ./normviz-notebooks and open it in JupyterLab.

    A notebook that is already there is kept as it is. Options are handed on to JupyterLab: normviz lab --no-browser
    """
    try:
        from jupyterlab.labapp import LabApp
    except ModuleNotFoundError as error:
        raise click.ClickException(
            'JupyterLab is not installed; install it with: python -m pip install "normviz[lab]"'
        ) from error
    folder = Path(NOTEBOOKS)
    copied, kept = copy_new(shipped_notebooks(), folder)
    tell(folder, "Copied", copied, kept)
    # An address rather than a file, so that the one it prints where there is no browser leads to the tour as well.
    options = [f"--LabApp.default_url=/lab/tree/{NOTEBOOKS}/{FIRST_NOTEBOOK}"]
    # JupyterLab refuses to start as root unless told that this is meant.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    # In this process, so that Ctrl-C is JupyterLab's to answer.
    LabApp.launch_instance([*options, *jupyter_options])


@cli.command(hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def studio(options: tuple[str, ...]) -> None:
    """Name what takes the place of the studio, which was a server."""
    raise click.ClickException(
        "the studio is gone; `normviz playground` takes its place, or nv.Explorer(editable=True) in a notebook"
    )


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=INSTRUCTOR)
def instructor(folder: Path) -> None:
    """Write the course with its solutions, and notes for the teacher, to ./normviz-instructor or to FOLDER.

    A notebook that is already there is kept as it is.
    """
    from normviz.classroom.instructor import versions

    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    kept: list[str] = []
    for name, text in versions(shipped_notebooks()):
        if os.path.lexists(folder / name):
            kept.append(name)
        else:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
            written.append(name)
    tell(folder, "Written", written, kept)


@cli.command()
@click.argument("source", nargs=-1, required=True, metavar="FILE | --shape N C [D] [H] [W]")
@click.option("--shape", is_flag=True, help="Take random normal numbers of this shape (seeded) instead of a file.")
@click.option("-m", "--method", default="group", show_default=True, metavar="NAME", help=f"{', '.join(nv.METHODS)}.")
@click.option(
    "-g",
    "--num-groups",
    type=int,
    metavar="G",
    help="Number of groups, which divides C; for ghost of slices, which divides N.  [default: up to 4]",
)
@click.option("-c", "--channel-axis", type=int, default=1, metavar="AXIS", help="Where C is; -1 is last.  [default: 1]")
@output_option
def export(
    source: tuple[str, ...], shape: bool, method: str, num_groups: int | None, channel_axis: int, output: Path
) -> None:
    """Write the explorer of your own tensor as one page.

    FILE is a .npy file with 2 to 5 axes.
    """
    if shape:
        x = random_normal(source)
    elif len(source) == 1:
        x = read_npy(Path(source[0]))
    else:
        raise click.UsageError(f"export takes one FILE, not {len(source)}; for random numbers add --shape")
    write(nv.Explorer(x, method=method, num_groups=num_groups, channel_axis=channel_axis), output)


@cli.command()
@click.argument("source", nargs=-1, required=True, metavar="MODULE:FACTORY --shape N C [D] [H] [W]")
@click.option("--shape", is_flag=True, help="Give the model random normal numbers of this shape (seeded).")
@click.option("--example", type=click.Path(path_type=Path), metavar="FILE", help="Give it a .npy file instead.")
@click.option("--training-batch", type=int, metavar="B", help="How many samples are normalized together in training.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Don't warn of this; may be repeated.")
@click.option("--also", multiple=True, metavar="CODE", help="Warn of this as well; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print layers and warnings as JSON.")
@click.pass_context
def audit(context: click.Context, source: tuple[str, ...], shape: bool, **options: Any) -> None:
    """Read a torch model's norm layers for trouble.

    Every normalization layer is listed in order of use, with the cells that it pools, and warnings below.

    FACTORY is a function without arguments that returns the model, or the model itself, as in

    normviz audit package.module:factory --shape 2 3 224 224

    The exit code is 0 without warnings, 1 with some, and 2 where nothing could be audited.
    """
    from normviz.inspect.audit import command

    names = [word for word in source if not word.isdecimal()]
    sizes = [word for word in source if word.isdecimal()]
    example = options.pop("example")
    if len(names) != 1 or bool(sizes) != shape or shape == (example is not None):
        raise click.UsageError("audit takes one MODULE:FACTORY, and either --shape with sizes or --example with a file")
    try:
        x = read_npy(example) if example else random_normal(sizes)
        found = command.run(names[0], x, options)
    except click.UsageError:
        raise
    except BAD_INPUT as error:
        raise click.UsageError(one_line(error)) from error
    click.echo(command.as_json(found) if options["as_json"] else str(found))
    context.exit(1 if found.warnings else 0)


def tell(folder: Path, what: str, new: Sequence[str], kept: Sequence[str]) -> None:
    """Say which notebooks a folder got, and which it had."""
    if new:
        click.echo(f"{what} to {folder}: {', '.join(new)}")
    if kept:
        click.echo(f"Kept as they are in {folder}: {', '.join(kept)}")


def write(explorer: nv.Explorer, output: Path) -> None:
    """Write the explorer as a page or, by the name's ending, as a still picture; say so."""
    if output.suffix.lower() == ".svg":
        explorer.to_svg(output)
    else:
        nv.to_html([explorer], output)
    # Into a device or a pipe, such as /dev/stdout, the page may be all that is wanted.
    if output.is_file():
        click.echo(f"Wrote {output} ({output.stat().st_size / 1000:.0f} kB)")


def random_normal(sizes: Sequence[str]) -> np.ndarray:
    """Give the same random normal numbers of that shape at every call.

    Raises
    ------
    click.UsageError
        A size is not a whole number above 0.
    """
    for size in sizes:
        if not size.isdecimal() or int(size) == 0:
            raise click.UsageError(f"--shape takes whole numbers above 0, as in --shape 4 16 12 12; {size!r} is none")
    shape = tuple(map(int, sizes))
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def read_npy(path: Path) -> np.ndarray:
    """Read the one array of a .npy file, without unpickling anything.

    Raises
    ------
    click.UsageError
        The file is no .npy file, holds Python objects, or ends too early.
    OSError
        The file can't be read.
    """
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            raise click.UsageError(f"{path} is an archive of arrays; save the one to look at with numpy.save")
        file.seek(0)
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        # Not ValueError alone: from a damaged header numpy lets through whatever Python's own parser raises.
        except Exception as error:
            raise click.UsageError(f"{path} is not a complete .npy file of numbers: {error}") from error


def shipped_notebooks() -> Path:
    """Find the course: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    shipped = package / "notebooks"
    return shipped if shipped.is_dir() else package.parent / "notebooks"


def copy_new(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Copy the files that are not there yet; give the names of those copied and of those kept."""
    copied: list[str] = []
    kept: list[str] = []
    for file in sorted(files_of(source)):
        name = file.relative_to(source)
        # A link that leads nowhere is somebody's too.
        if os.path.lexists(target / name):
            kept.append(str(name))
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / name)
        copied.append(str(name))
    return copied, kept


def files_of(folder: Path) -> Iterator[Path]:
    """Go through a folder's files, but not the checkpoints that JupyterLab leaves there."""
    for path in folder.iterdir():
        if path.name.startswith((".", "__")):
            continue
        if path.is_dir():
            yield from files_of(path)
        else:
            yield path
