#!/bin/sh
# Writes requirements.txt, requirements-dev.txt and requirements-firefox.txt from pyproject.toml: one lock each, with
# hashes, and with markers if Python 3.11, 3.12 and 3.13 need different versions. Run `make lock`, read the difference,
# then run `make test`.
#
# Existing pins are kept, unless LOCK_FLAGS changes that: LOCK_FLAGS=--upgrade make lock
set -eu

cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet "uv==0.13.9"

# The user's settings must not affect the lock: no other index, no local wheels.
compile() {
    env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
        "$scratch/venv/bin/uv" pip compile --quiet --python-version 3.11 \
        --generate-hashes --no-config --no-emit-index-url --custom-compile-command "make lock" "$@"
}

lock() {
    compile pyproject.toml --universal "$@"
}

lock --group build ${LOCK_FLAGS:-} --output-file requirements.txt
# A superset of the first lock with the same pins, so that one installation is enough for the tests.
lock --group build --group dev --constraints requirements.txt ${LOCK_FLAGS:-} --output-file requirements-dev.txt
# The packages that drive Firefox, only for Linux: their pins for other systems contradict the other locks.
compile --python-platform linux --group firefox --constraints requirements-dev.txt ${LOCK_FLAGS:-} \
    --output-file requirements-firefox.txt
