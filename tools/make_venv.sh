#!/bin/sh
# Make the environment $VENV with a Python >= 3.11, or say in one sentence why that is not possible. A working one is kept.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

recent='import sys; sys.exit(sys.version_info < (3, 11))'

# An environment that was moved, or whose Python was removed, does not start. It is made again.
if "$venv/bin/python" -c "$recent" 2>/dev/null && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

python=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$recent" 2>/dev/null; then
        python=$candidate
        break
    fi
done

if [ -z "$python" ]; then
    if [ -z "${PYTHON:-}" ] && command -v uv >/dev/null 2>&1; then
        exec uv venv --quiet --clear --seed --python '>=3.11' "$venv"
    fi
    echo "normviz needs Python 3.11 or newer and found none as ${PYTHON:-python3, python3.11 ... python3.14 or python};" \
        "install one, or name it: make lab PYTHON=/path/to/python3.12" >&2
    exit 1
fi

if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "$python has no venv or no ensurepip, which make needs to set up $venv; install them" \
        "(Debian and Ubuntu: apt-get install python3-venv), or name another Python: make lab PYTHON=/path/to/python3" >&2
    exit 1
fi

echo "Setting up $venv with $("$python" --version) ..."
"$python" -m venv --clear "$venv"
