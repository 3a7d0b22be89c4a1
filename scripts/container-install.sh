#!/bin/sh
# What the Dockerfile does, in two steps, so that the large one is kept as long as no dependency changes:
#   container-install.sh libraries TARGET SOURCE    an environment with everything that the server needs
#   container-install.sh manyfaces TARGET SOURCE    manyfaces itself
# pip's own settings (PIP_INDEX_URL, PIP_NO_DEPS, ...) hold here too.
set -eu

step=$1
target=$2
source=$3

case $step in
libraries)
    python3 -m venv "$target"
    # Only the names of the dependencies are read; the source need not be there yet.
    "$target/bin/python" - "$source/pyproject.toml" > "$target/requirements.txt" <<'END'
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
print("\n".join([*project["dependencies"], *project["optional-dependencies"]["serve"]]))
END
    "$target/bin/pip" install --no-cache-dir --disable-pip-version-check --requirement "$target/requirements.txt"
    ;;
manyfaces)
    "$target/bin/pip" install --no-cache-dir --disable-pip-version-check --no-deps "$source"
    "$target/bin/manyfaces" --version
    ;;
*)
    echo "container-install.sh: unknown step '$step'; give libraries or manyfaces" >&2
    exit 2
    ;;
esac
