#!/bin/sh
# What the images install. check-install.sh runs the same commands without Docker.
#   install.sh dependencies ENVIRONMENT   a virtual environment with what constraints.txt pins, but for development
#   install.sh project ENVIRONMENT        the project, from the folder above this one
set -eu
here=$(cd "$(dirname "$0")" && pwd)
step=$1
environment=$2

pip() {
  "$environment/bin/python" -m pip --no-cache-dir --disable-pip-version-check --quiet "$@"
}

case $step in
  dependencies)
    python3 -m venv "$environment"
    sed '/^# ---/,$d' "$here/constraints.txt" | pip install --requirement /dev/stdin
    ;;
  project)
    # setuptools is among the pinned, so the build needs nothing from an index
    pip install --no-build-isolation --no-deps "$here/.."
    pip check
    ;;
  *)
    echo "usage: $0 dependencies|project ENVIRONMENT" >&2
    exit 2
    ;;
esac
