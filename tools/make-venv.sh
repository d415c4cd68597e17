#!/bin/sh
# Makes the virtual environment named by the first argument, with $PYTHON or the first supported Python found.
# An error is reported in one line, with the remedy.
set -eu

venv=$1
rule="MMUViz needs Python 3.11, 3.12 or 3.13"
remedy="install one, or name one: make PYTHON=/path/to/python3.12 run"

stop() {
    printf 'mmuviz: %s\n' "$1" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

supported() {
    case $1 in 3.11 | 3.12 | 3.13) return 0 ;; esac
    return 1
}

# A wrapper on PATH may have no Python behind it, so each candidate must print its version.
choose() {
    seen=""
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        version=$(version_of "$candidate") || continue
        if supported "$version"; then
            python=$candidate
            return 0
        fi
        seen=${seen:-"$candidate is Python $version"}
    done
    if [ -n "${PYTHON:-}" ]; then
        stop "${seen:-PYTHON=$PYTHON does not run}; $rule; $remedy"
    fi
    stop "${seen:-no python3 was found}; $rule; $remedy"
}

choose
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    case $python in python3) package=python3-venv ;; *) package=python$version-venv ;; esac
    stop "$python cannot make virtual environments; the venv module is needed; install it: apt install $package"
}
if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
    stop "$venv exists and is no virtual environment; its place is needed; move it away, or name another: make VENV=.venv2 run"
fi

trap 'rm -rf "$venv"' EXIT
"$python" -m venv --clear "$venv" || stop "$python could not make $venv; see above"
printf '%s\n' "${PYTHON:-}" > "$venv/.python"
trap - EXIT
