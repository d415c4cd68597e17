#!/bin/sh
# Writes requirements.txt, requirements-dev.txt and requirements-firefox.txt from pyproject.toml: one lock each, with
# hashes, and with markers where Python 3.11, 3.12 and 3.13 need different versions. Run it by `make lock`, read the difference, run `make test`.
#
# Existing pins stay unless LOCK_FLAGS asks otherwise: LOCK_FLAGS=--upgrade make lock
set -eu

cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet "uv==0.13.9"

# The settings of whoever runs this must not reach the lock: no index address, no local wheel.
compile() {
    env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
        "$scratch/venv/bin/uv" pip compile --quiet --python-version 3.11 \
        --generate-hashes --no-config --no-emit-index-url --custom-compile-command "make lock" "$@"
}

lock() {
    compile pyproject.toml --universal "$@"
}

lock --group build ${LOCK_FLAGS:-} --output-file requirements.txt
# A superset of the first with the same pins, so that one install serves the tests.
lock --group build --group dev --constraints requirements.txt ${LOCK_FLAGS:-} --output-file requirements-dev.txt
# Of what drives Firefox, for Linux alone: what it pins elsewhere contradicts the rest.
compile --python-platform linux --group firefox --constraints requirements-dev.txt ${LOCK_FLAGS:-} \
    --output-file requirements-firefox.txt
