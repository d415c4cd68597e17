from pathlib import Path

import pytest

from tests.packaging.shell import Programs

CANDIDATE = "echo '  Candidate: 150.0.1-1'"
SNAP_CANDIDATE = "echo '  Candidate: 2:1snap1-0ubuntu2'"
UBUNTU_STUB = 'if [ -x /snap/bin/chromium ]; then exec /snap/bin/chromium "$@"; fi; exit 1'


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


@pytest.fixture
def script(repository: Path) -> str:
    return str(repository / "tools" / "find-browser.sh")


def as_root(programs: Programs, policy: str = CANDIDATE) -> None:
    programs.add("id", "echo 0")
    programs.add("apt-cache", f'[ "$1" = policy ] && {policy}')


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])
def test_a_browser_on_the_path_is_taken(programs: Programs, script: str, name: str) -> None:
    browser = programs.add(name, "")
    done = programs.run("sh", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{browser}\n", "")


def test_the_named_one_goes_first(programs: Programs, script: str, tmp_path: Path) -> None:
    programs.add("chromium", "")
    named = programs.add("named", "").rename(tmp_path / "named")
    done = programs.run("sh", script, CHROMIUM=str(named))
    assert (done.returncode, done.stdout) == (0, f"{named}\n")


def test_a_named_one_that_is_not_there_is_an_error(programs: Programs, script: str) -> None:
    programs.add("chromium", "")
    done = programs.run("sh", script, CHROMIUM="/no/such/browser")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("browser: CHROMIUM=/no/such/browser is not a program")
    assert done.stderr.count("\n") == 1


def test_a_named_snap_is_an_error(programs: Programs, script: str) -> None:
    stub = programs.add("chromium-browser", UBUNTU_STUB)
    done = programs.run("sh", script, CHROMIUM=str(stub))
    assert done.returncode == 1
    assert "is a snap" in done.stderr


def test_a_snap_s_stub_is_passed_over(programs: Programs, script: str) -> None:
    programs.add("chromium-browser", UBUNTU_STUB)
    chrome = programs.add("google-chrome", "")
    assert programs.run("sh", script).stdout == f"{chrome}\n"


def test_a_link_to_snap_is_passed_over(programs: Programs, script: str) -> None:
    (programs.folder / "chromium").symlink_to(programs.add("snap", ""))
    chrome = programs.add("google-chrome", "")
    assert programs.run("sh", script).stdout == f"{chrome}\n"


def test_root_installs_debian_s(programs: Programs, script: str) -> None:
    as_root(programs)
    place = programs.folder / "chromium"
    programs.add(
        "apt-get", f'case "$*" in *install*) cat "{programs.folder}/id" > "{place}"; chmod 755 "{place}" ;; esac'
    )
    (programs.folder / "chmod").symlink_to("/bin/chmod")
    done = programs.run("sh", script)
    assert (done.returncode, done.stdout) == (0, f"{place}\n")
    asked = [call for call in programs.calls if call.startswith("apt-get")]
    assert len(asked) == 2
    assert asked[0].endswith(" update")
    assert asked[1].endswith("install --no-install-recommends chromium")
    assert " -y " in asked[1]


def test_other_users_get_the_command(programs: Programs, script: str) -> None:
    as_root(programs)
    programs.add("id", "echo 1000")
    programs.add("apt-get", "exit 1")
    done = programs.run("sh", script)
    assert done.returncode == 1
    assert "sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends chromium'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [call for call in programs.calls if call.startswith("apt-get")] == []


@pytest.mark.parametrize("user", ["0", "1000"])
@pytest.mark.parametrize(
    "apt_cache",
    [
        SNAP_CANDIDATE,
        f"{CANDIDATE} || echo 'Description: Transitional package - chromium -> chromium snap'",
    ],
)
def test_a_package_that_is_a_snap_is_not_installed(programs: Programs, script: str, user: str, apt_cache: str) -> None:
    as_root(programs, apt_cache)
    programs.add("id", f"echo {user}")
    programs.add("apt-get", "")
    done = programs.run("sh", script)
    assert done.returncode == 1
    assert "package is a snap; install a Chromium or Chrome that is not a snap" in done.stderr
    assert "make test CHROMIUM=/path/to/it" in done.stderr
    assert [call for call in programs.calls if "install" in call] == []


def test_a_system_without_the_package_gets_a_message(programs: Programs, script: str) -> None:
    as_root(programs, "echo '  Candidate: (none)'")
    programs.add("apt-get", "")
    done = programs.run("sh", script)
    assert done.returncode == 1
    assert "no package of that name" in done.stderr


def test_a_failed_update_is_reported(programs: Programs, script: str) -> None:
    as_root(programs)
    programs.add("apt-get", "exit 100")
    done = programs.run("sh", script)
    assert done.returncode == 1
    assert "'apt-get update' failed" in done.stderr


def test_without_apt_it_asks_for_a_browser(programs: Programs, script: str) -> None:
    done = programs.run("sh", script)
    assert done.returncode == 1
    assert "no apt-get to install one" in done.stderr


def test_nothing_is_installed_if_disabled(programs: Programs, script: str) -> None:
    as_root(programs)
    programs.add("apt-get", "")
    done = programs.run("sh", script, "--no-install")
    assert done.returncode == 1
    assert "'make test' installs one" in done.stderr
    assert [call for call in programs.calls if call.startswith("apt-get")] == []
