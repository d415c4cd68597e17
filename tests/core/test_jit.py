"""The compiler's cache notices a change in a function called from another file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmuviz.core import jit
from tests.served import clean_environment

CALLER = """
from mmuviz.core.jit import jit
from mmuviz.mmu.callee import price

@jit
def total(count: int) -> int:
    return count * price()
"""
CALLEE = """
from mmuviz.core.jit import jit

@jit
def price() -> int:
    return {price}
"""


@jit.jit_inline_llvm
def one_more(number: int) -> int:
    return number + 1


@jit.jit_inline_source
def two_more(number: int) -> int:
    return one_more(one_more(number))


@jit.jit_inline_exported
def three_more(number: int) -> int:
    return one_more(two_more(number))


@jit.jit
def five_more(number: int) -> int:
    return two_more(three_more(number))


def package_in(folder: Path) -> Path:
    """Create a package with a copy of core/jit.py, a caller, and a callee in another file."""
    package = folder / "mmuviz"
    for room in ("core", "mmu"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").touch()
    (package / "__init__.py").touch()
    shutil.copy(jit.__file__, package / "core" / "jit.py")
    (package / "mmu" / "caller.py").write_text(CALLER)
    (package / "mmu" / "callee.py").write_text(CALLEE.format(price=3))
    return package


def total_of_seven(folder: Path) -> tuple[int, str]:
    """Return the result of a new process, and the cache folder that it used."""
    code = "from mmuviz.mmu.caller import total; import numba; print(total(7), numba.config.CACHE_DIR)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=clean_environment(MMUVIZ_CACHE_DIR=str(folder / "cache"), PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
        check=True,
    )
    result, cache = done.stdout.split()
    return int(result), cache


def test_an_edited_callee_is_compiled_anew(tmp_path: Path) -> None:
    package = package_in(tmp_path)
    first, cache = total_of_seven(tmp_path)
    assert first == 21
    assert list(Path(cache).rglob("caller.total-*.nbc")), "the first run kept its machine code"
    assert total_of_seven(tmp_path) == (21, cache)
    (package / "mmu" / "callee.py").write_text(CALLEE.format(price=5))
    assert total_of_seven(tmp_path)[0] == 35


def test_the_hash_follows_every_room_with_compiled_code(tmp_path: Path) -> None:
    package = package_in(tmp_path)
    hashes = {jit.source_hash(package)}
    for room in jit.COMPILED_ROOMS:
        (package / room).mkdir(exist_ok=True)
        (package / room / "more.py").write_text("x = 1")
        hashes.add(jit.source_hash(package))
    assert len(hashes) == 1 + len(jit.COMPILED_ROOMS)
    before = jit.source_hash(package)
    (package / "web").mkdir()
    (package / "web" / "page.py").write_text("x = 1")
    assert jit.source_hash(package) == before


def test_every_room_that_compiles_is_hashed() -> None:
    package = jit.PACKAGE
    rooms = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^@(numba\.)?(njit|jit\w*|vectorize)\b", path.read_text(), re.MULTILINE)
    }
    assert rooms
    assert rooms <= set(jit.COMPILED_ROOMS)


def test_the_folder_is_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUVIZ_CACHE_DIR", str(tmp_path / "asked"))
    assert jit.cache_folder() == tmp_path / "asked" / "mmuviz" / f"compiled-{jit.source_hash()}"
    monkeypatch.delenv("MMUVIZ_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert jit.cache_folder().is_relative_to(tmp_path / "home")


def test_a_folder_where_all_may_write_is_made_for_one_user(tmp_path: Path) -> None:
    folder = tmp_path / "mmuviz-7"
    assert jit.private_folder(folder) == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert jit.private_folder(folder) == folder


@pytest.mark.parametrize("kind", ["open to all", "a link", "a file", "another user's"])
def test_a_folder_that_another_user_may_have_made_is_not_run_from(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mmuviz-7"
    if kind == "a link":
        (tmp_path / "theirs").mkdir()
        folder.symlink_to(tmp_path / "theirs")
    elif kind == "a file":
        folder.touch()
    else:
        folder.mkdir(mode=0o700)
    if kind == "open to all":
        folder.chmod(0o777)
    if kind == "another user's":
        monkeypatch.setattr("os.getuid", lambda: 12_345)
    other = jit.private_folder(folder)
    assert other != folder
    assert other.name.startswith("mmuviz-7-")
    assert other.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.joinpath("theirs").glob("*"))


def test_what_is_compiled_into_its_callers_alone_refuses_python() -> None:
    for function in (one_more, two_more):
        with pytest.raises(TypeError, match=rf"{function.__name__}\(\) is compiled into its callers alone"):
            function(1)
    assert five_more(1) == 6
    assert three_more(1) == 4
    for function in (one_more, two_more):  # there is machine code of both now, which Python could not call
        with pytest.raises(TypeError, match="or make it jit_inline_exported"):
            function(1)


@jit.jit
def scaled(number: int, factor: int) -> int:
    return number * factor


@jit.jit
def of_constants(number: int) -> int:
    return scaled(number, 2) + scaled(3, number) + scaled(number, number)


def test_a_constant_is_no_type_of_its_own() -> None:
    assert of_constants(5) == 50
    found = [[str(each) for each in signature] for signature in vars(scaled)["overloads"]]
    # None where its caller comes out of the cache, whole.
    assert found in ([["int64", "int64"]], [])
