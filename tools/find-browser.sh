#!/bin/sh
# Prints the path of the Chromium for the browser tests; as root, installs Debian's if none is found.
#
#   sh tools/find-browser.sh                find or install
#   sh tools/find-browser.sh --no-install   find only
#
# CHROMIUM may name one. Snaps are ignored: their confinement hides the temporary folders that the tests use.
set -eu

names="chromium chromium-browser google-chrome google-chrome-stable"
install="apt-get update && apt-get install -y --no-install-recommends chromium"

stop() {
    printf 'browser: %s\n' "$1" >&2
    exit 1
}

is_snap() {
    case $1 in /snap/*) return 0 ;; esac
    case $(readlink -f "$1") in /snap/* | */bin/snap) return 0 ;; esac
    # Ubuntu's /usr/bin/chromium-browser is a shell script that starts the snap, or asks to install it.
    [ "$(head -c 2 "$1")" = "#!" ] && grep -q '/snap/bin/' "$1"
}

find_browser() {
    for name in $names; do
        found=$(command -v "$name") || continue
        is_snap "$found" || { printf '%s\n' "$found"; return 0; }
    done
    return 1
}

package_is_snap_stub() {
    apt-cache policy chromium | grep -q 'Candidate:.*snap' && return 0
    apt-cache show --no-all-versions chromium 2>/dev/null | grep -qi 'transitional.*snap'
}

package_exists() {
    apt-cache policy chromium | grep 'Candidate:' | grep -qv '(none)'
}

if [ -n "${CHROMIUM:-}" ]; then
    found=$(command -v "$CHROMIUM") || stop "CHROMIUM=$CHROMIUM is not a program that can be run; give the path of a Chromium or Chrome, or unset it"
    is_snap "$found" && stop "CHROMIUM=$CHROMIUM is a snap, which cannot see the tests' files; give the path of a Chromium or Chrome that is not a snap"
    printf '%s\n' "$found"
    exit 0
fi

find_browser && exit 0

other="install a Chromium or Chrome that is not a snap, then: make test CHROMIUM=/path/to/it"
[ "${1:-}" != "--no-install" ] || stop "no Chromium found; 'make test' installs one as root, or name one: CHROMIUM=/path/to/chromium"
command -v apt-get >/dev/null || stop "no Chromium found, and no apt-get to install one; $other"
[ "$(id -u)" -eq 0 ] || {
    ! package_is_snap_stub || stop "no Chromium found, and this system's package is a snap; $other"
    stop "no Chromium found; install it, then run make test again: sudo sh -c '$install'"
}

echo "browser: no Chromium found, installing Debian's" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -q update >&2 || stop "'apt-get update' failed; mend it, or name a browser: make test CHROMIUM=/path/to/chromium"
package_exists || stop "no Chromium found, and this system has no package of that name; $other"
! package_is_snap_stub || stop "no Chromium found, and this system's package is a snap; $other"
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends chromium >&2 ||
    stop "'$install' failed; mend it, or name a browser: make test CHROMIUM=/path/to/chromium"
find_browser || stop "chromium was installed and is not on PATH=$PATH; name it: make test CHROMIUM=/path/to/chromium"
