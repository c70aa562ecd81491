"""The studio as a web application: Voila serves a notebook of one cell, and its page asks no other server."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "studio",
            "metadata": {},
            "outputs": [],
            "source": "import normviz as nv\n\nnv.Studio()",
        }
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def serve(options: Sequence[str] = ()) -> None:
    """Serve the studio until the process is told to end.

    Parameters
    ----------
    options
        Handed on to Voila: --port=8866, --no-browser, --Voila.ip=0.0.0.0, --theme=dark.

    Raises
    ------
    ModuleNotFoundError
        Voila is not installed.
    """
    # Voila looks for templates in Jupyter's folders of data, as they are named when it is loaded.
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("JUPYTER_PATH")]))
    from voila.app import Voila

    with tempfile.TemporaryDirectory(prefix="normviz-studio-") as folder:
        notebook = Path(folder) / "studio.ipynb"
        notebook.write_text(json.dumps(NOTEBOOK), encoding="utf-8")
        Voila.launch_instance([str(notebook), "--template=normviz", *options])
