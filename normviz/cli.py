"""The command ``normviz``: pages, a site of the course, the course itself, audits, and compiling in advance."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
from traitlets import TraitError

import normviz as nv
from normviz import atomic_write
from normviz.classroom.instructor import versions
from normviz.explorer import anywidget_files
from normviz.inspect.audit import command
from normviz.streaming.containers import load

NOTEBOOKS = "normviz-notebooks"
INSTRUCTOR = Path("normviz-instructor")
FIRST_NOTEBOOK = "00_tour.ipynb"
PAGE = Path("normviz.html")
GROUPS = "Number of groups, a divisor of C; for ghost the number of slices, a divisor of N.  [default: up to 4]"


class Named(click.Path):
    """A path that has a name: pathlib would take an empty one for the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail on an empty name."""
        if value == "":
            self.fail(f"The name is empty; give the name of a {'file' if self.file_okay else 'folder'}.", param, ctx)
        return super().convert(value, param, ctx)


FILE = Named(path_type=Path)
FOLDER = Named(file_okay=False, path_type=Path)

OUTPUT = "The file to write: an HTML page, or a still picture if the name ends in .svg."
output_option = click.option("-o", "--output", type=FILE, default=PAGE, show_default=True, help=OUTPUT)

key_option = click.option("--key", metavar="NAME", help="The array to read, if the file holds several.")

# Errors of bad input: their message is one sentence, so no traceback is shown.
BAD_INPUT = (click.ClickException, ValueError, TypeError, TraitError, OSError, MemoryError)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command with `args` (by default those of the process) and return its exit code.

    Bad input prints one line to stderr and returns 2.
    """
    try:
        return cli.main(args=args, prog_name="normviz", standalone_mode=False) or 0
    except click.Abort:
        return 130
    except BAD_INPUT as error:
        click.echo(f"normviz: {one_line(error)}", err=True)
        return 2


def one_line(error: Exception) -> str:
    """Return an error's message on one line."""
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
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
def playground(output: Path, no_open: bool) -> None:
    """Write a page on which you make the tensor, and open it.

    It begins with sample activations. The page is one file, needs no Python and makes no network requests.
    """
    write(nv.Explorer(editable=True), output)
    if not no_open and not webbrowser.open(output.resolve().as_uri()):
        click.echo(f"No browser could be started; open {output.resolve()} in one.")


cli.add_command(playground, "demo")


@cli.command()
@click.option("--warm-up", is_flag=True, help="First compile all that the compiled backend may need.")
def devices(warm_up: bool) -> None:
    """Say what each backend runs on here, or why it cannot be used."""
    from normviz.backends.dispatch import compiled_problem

    warm_up = warm_up and compiled_problem() is None
    if warm_up:
        click.echo("Compiling what is not compiled yet. On a new machine this takes about a minute.")
    start = perf_counter()
    found = nv.devices(warm_up=warm_up)
    if warm_up:
        click.echo(f"This took {perf_counter() - start:.0f} s.")
    for name, said in found.items():
        click.echo(f"{name}: {said}")


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("jupyter_options", nargs=-1, type=click.UNPROCESSED)
def lab(jupyter_options: tuple[str, ...]) -> None:
    """Open the course in JupyterLab.

    The notebooks are copied to ./normviz-notebooks; those that already exist there are kept. Options are passed on
    to JupyterLab: normviz lab --no-browser
    """
    try:
        from jupyterlab.labapp import LabApp
    except ModuleNotFoundError as error:
        message = 'JupyterLab is not installed; install it with: python -m pip install "normviz[lab]"'
        raise click.ClickException(message) from error
    folder = Path(NOTEBOOKS)
    copied, kept = copy_new(shipped_notebooks(), folder)
    tell(folder, "Copied", copied, kept)
    # A URL and not a file, so that the address that JupyterLab prints leads to the tour too.
    options = [f"--LabApp.default_url=/lab/tree/{NOTEBOOKS}/{FIRST_NOTEBOOK}"]
    # JupyterLab refuses to start as root without this option.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    # In this process, so that JupyterLab handles Ctrl-C.
    LabApp.launch_instance([*options, *jupyter_options])


@cli.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option(
    "--offline",
    "pyodide",
    type=Named(path_type=Path, exists=True, file_okay=False),
    metavar="PYODIDE_DIR",
    help="Copy what is needed of this folder with Pyodide, so that the site asks no other server.",
)
def lite(folder: Path, pyodide: Path | None) -> None:
    """Write the course as a static site whose Python runs in the browser.

    DIR is a new folder, or one with an earlier site, which is replaced. Any web server can give the site away; opened
    from the disk it does not work.
    """
    from normviz.lite import build

    try:
        build(folder, shipped_notebooks(), pyodide)
    except (ModuleNotFoundError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    click.echo(f'Wrote {folder} ({size / 1e6:.0f} MB). To try it: python -m http.server --directory "{folder}"')
    click.echo("and open http://localhost:8000/")


@cli.command(hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def studio(options: tuple[str, ...]) -> None:
    """Name the commands that replace the former studio."""
    instead = "`normviz playground` takes its place, or nv.Explorer(editable=True) in a notebook"
    raise click.ClickException(f"the studio is gone; {instead}")


@cli.command()
@click.argument("folder", type=FOLDER, default=INSTRUCTOR)
def instructor(folder: Path) -> None:
    """Write the course with solutions and teaching notes.

    The notebooks are written to FOLDER, by default ./normviz-instructor. Notebooks that already exist are kept.
    """
    written, kept = write_new(versions(shipped_notebooks()), folder)
    tell(folder, "Written", written, kept)


@cli.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--replace", is_flag=True, help="Write also the files that exist, such as those of an earlier version.")
def kit(folder: Path, replace: bool) -> None:
    """Write what a lecturer needs into a folder.

    A lecture of slides with live explorers and notes, figures, a worksheet and its key, lesson plans, pages for an LMS,
    the licence and how to cite. DIR is made; files that already exist there are kept, without --replace.
    """
    from normviz import kit as made  # which imports plotly

    written, kept = write_new(made.contents(), folder, replace)
    tell(folder, "Written", written, kept)
    if kept:
        click.echo(f"To write all files again, also your own changes: normviz kit --replace {folder}")
    if made.rasterizer() is None:
        click.echo(made.NO_PNG)
    click.echo(f"Open {folder / 'index.html'} first.")


@cli.command()
@click.argument("source", nargs=-1, required=True, metavar="FILE | --shape N C [D] [H] [W]")
@click.option("--shape", is_flag=True, help="Use random normal numbers of this shape (seeded) instead of a file.")
@click.option("-m", "--method", default="group", show_default=True, metavar="NAME", help=f"{', '.join(nv.METHODS)}.")
@click.option("-g", "--num-groups", type=int, metavar="G", help=GROUPS)
@click.option(
    "-c", "--channel-axis", type=int, default=1, metavar="AXIS", help="Channel axis; -1 is the last.  [default: 1]"
)
@key_option
@output_option
@click.option(
    "--anywidget",
    "folder",
    type=FOLDER,
    metavar="DIR",
    help="Write no page, but into DIR the files that MyST's directive {anywidget} takes, and print the directive.",
)
@click.pass_context
def export(
    context: click.Context,
    source: tuple[str, ...],
    shape: bool,
    output: Path,
    folder: Path | None,
    key: str | None,
    **options: Any,
) -> None:
    """Write an interactive page of your own tensor.

    FILE is a .npy, .npz or .safetensors file of an array with 2 to 5 axes, or a pipe such as /dev/stdin.
    """
    if folder and context.get_parameter_source("output") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--output writes a page and --anywidget a folder; leave one of the two out")
    if shape:
        x = random_normal(source, key)
    elif len(source) == 1:
        x = load(FILE.convert(source[0], None, context), key)
    else:
        raise click.UsageError(f"export takes one FILE, not {len(source)}; for random numbers add --shape")
    explorer = nv.Explorer(x, **options)
    if folder:
        write_widget(explorer, folder)
    else:
        write(explorer, output)


@cli.command()
@click.argument("source", nargs=-1, required=True, metavar="MODULE:FACTORY --shape N C [D] [H] [W]")
@click.option("--shape", is_flag=True, help="Run the model on random normal numbers of this shape (seeded).")
@click.option("--example", type=FILE, metavar="FILE", help="Run it on the array of a file.")
@key_option
@click.option("--training-batch", type=int, metavar="B", help="Number of samples normalized together in training.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out this warning; may be repeated.")
@click.option("--also", multiple=True, metavar="CODE", help="Add this optional warning; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print layers and warnings as JSON.")
@click.option("--html", type=FILE, metavar="FILE", help="Also write a page with all layers live.")
@click.pass_context
def audit(
    context: click.Context, source: tuple[str, ...], shape: bool, as_json: bool, html: Path | None, **options: Any
) -> None:
    """Check the normalization layers of a torch model.

    All layers are listed in order of use, each with the cells that it pools; the warnings follow.

    FACTORY is a function without arguments that returns the model, or the model itself, as in

    normviz audit package.module:factory --shape 2 3 224 224

    The exit code is 0 without warnings, 1 with warnings, and 2 if the model could not be audited.
    """
    names = [word for word in source if not word.isdecimal()]
    sizes = [word for word in source if word.isdecimal()]
    example = options.pop("example")
    if len(names) != 1 or bool(sizes) != shape or shape == (example is not None):
        raise click.UsageError("audit takes one MODULE:FACTORY, and either --shape with sizes or --example with a file")
    try:
        key = options.pop("key")
        x = load(example, key) if example else random_normal(sizes, key)
        if html is not None:
            atomic_write.check_path(html)
        found = command.run(names[0], x, options)
        if html is not None:
            found.to_html(html)
    except click.UsageError:
        raise
    except BAD_INPUT as error:
        raise click.UsageError(one_line(error)) from error
    random = "" if example else "\n(The input was random numbers; --example gives your own.)"
    click.echo(command.as_json(found) if as_json else f"{found}{random}")
    context.exit(1 if found.warnings else 0)


def tell(folder: Path, verb: str, new: Sequence[str], kept: Sequence[str]) -> None:
    """Print the names of the files that were written to a folder, and of those that were already there."""
    for said, names in ((f"{verb} to {folder}", new), (f"Kept as they are in {folder}", kept)):
        if names:
            # Many files of one folder inside are named once.
            click.echo(f"{said}: {', '.join(dict.fromkeys(name.partition('/')[0] for name in names))}")


def write(explorer: nv.Explorer, output: Path) -> None:
    """Write the explorer as a page, or as a still picture if the name ends in .svg, and print the file's size."""
    if output.suffix.lower() == ".svg":
        explorer.to_svg(output)
    else:
        nv.to_html([explorer], output)
    # A device or a pipe, such as /dev/stdout, gets the page alone.
    if output.is_file():
        click.echo(f"Wrote {output} ({output.stat().st_size / 1000:.0f} kB)")


def write_widget(explorer: nv.Explorer, folder: Path) -> None:
    """Write the files of an anywidget into a folder, which is made, and print the directive that shows it."""
    files = anywidget_files.contents(explorer)
    if not folder.exists():
        atomic_write.check_path(folder)
        folder.mkdir()
    for name in files:
        atomic_write.check_path(folder / name)
    for name, text in files.items():
        atomic_write.write(folder / name, text)
    size = sum(len(text.encode()) for text in files.values())
    click.echo(
        f"Wrote {', '.join(files)} to {folder} ({size / 1000:.0f} kB). On a MyST page beside that folder, write:"
    )
    click.echo(f"\n{anywidget_files.directive(folder.resolve().name, files[anywidget_files.MODEL])}")


def random_normal(sizes: Sequence[str], key: str | None) -> np.ndarray:
    """Return random normal numbers of that shape, the same at every call.

    Raises
    ------
    click.UsageError
        A size is not a whole number above 0, or a key of a file is given.
    """
    if key is not None:
        raise click.UsageError(f"--key names an array of a file, and --shape takes none; leave --key {key} out")
    for size in sizes:
        if not size.isdecimal() or int(size) == 0:
            raise click.UsageError(f"--shape takes whole numbers > 0, as in --shape 4 16 12 12; {size!r} is not one")
    shape = tuple(map(int, sizes))
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def shipped_notebooks() -> Path:
    """Return the folder of the course: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    shipped = package / "notebooks"
    return shipped if shipped.is_dir() else package.parent / "notebooks"


def copy_new(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Copy the files that do not exist in the target yet; return the names of those copied and of those kept.

    Hidden files, such as JupyterLab's checkpoints, stay behind.
    """
    files = [file.relative_to(source) for file in sorted(source.rglob("*")) if file.is_file()]
    shown = [file for file in files if not any(part.startswith((".", "__")) for part in file.parts)]
    return write_new(((str(file), (source / file).read_bytes()) for file in shown), target)


def write_new(
    contents: Iterable[tuple[str, str | bytes]], folder: Path, replace: bool = False
) -> tuple[list[str], list[str]]:
    """Write files by name, each completely or not at all; return the names written and kept.

    Files that exist are kept, unless `replace` is true.
    """
    names: tuple[list[str], list[str]] = [], []
    for name, content in contents:
        path = folder / name
        # A link is kept even if it leads nowhere.
        exists = not replace and os.path.lexists(path)
        if not exists:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write.write(path, content)
        names[exists].append(name)
    return names
