import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmuviz import __version__
from mmuviz.cli import main, parse_port
from mmuviz.core.errors import InputError
from tests.served import clean_environment


def mmuviz(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mmuviz", *arguments],
        cwd=cwd,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [],
            "a command is required: serve, run, compare, advise, scenarios, show, export, warm, replay, verify, ",
        ),
        (["--nope"], "unrecognized arguments: --nope"),
        (["dance"], "invalid choice: 'dance'"),
        (["serve", "--nope"], "unrecognized arguments: --nope"),
        (["serve", "--po", "1"], "unrecognized arguments: --po 1"),
        (["serve", "now"], "unrecognized arguments: now"),
        (["serve", "--port"], "argument --port: expected one argument"),
        (["serve", "--port", "http"], "--port=http must be a whole number from 0 to 65535"),
        (["serve", "--host", "256.0.0.1"], "host 256.0.0.1 is not an address of this machine"),
        (["replay"], "the following arguments are required: FILE"),
        (["verify"], "the following arguments are required: PATH"),
        (["replay", ""], "argument FILE: '' must name a file or a folder; give a path, a dot for the current folder"),
        (["verify", "a.json", ""], "argument PATH: '' must name a file or a folder"),
        (["serve", "--host", "two\nlines"], "host two\\nlines is not an address"),
        (["serve", "--port", "80\n50"], "--port=80\\n50 must be a whole number"),
    ],
)
def test_a_mistake_is_answered_with_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mmuviz: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("value", ["0", "1", "8050", "65535"])
def test_a_port_is_read(value: str) -> None:
    assert parse_port(value, name="PORT") == int(value)


@pytest.mark.parametrize("value", ["-1", "65536", "80 50", "8_050", "8050.0", "٨٠٥٠", "0x50", "9" * 5000, " "])
def test_a_bad_port_is_named_with_rule_and_remedy(value: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_port(value, name="PORT")
    said = value if len(value) < 40 else "9" * 40 + "…"
    assert str(refused.value).startswith(f"PORT={said} must be a whole number from 0 to 65535")
    assert "8050" in str(refused.value)


def test_port_and_host_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, int]] = []

    def serve(host: str, port: int) -> int:
        asked.append((host, port))
        return 0

    monkeypatch.setattr("mmuviz.web.serving.serve", serve)
    monkeypatch.delenv("HOST", raising=False)
    monkeypatch.delenv("PORT", raising=False)
    main(["serve"])
    monkeypatch.setenv("HOST", "0.0.0.0")  # noqa: S104 - nothing is bound here
    monkeypatch.setenv("PORT", "9000")
    main(["serve"])
    main(["serve", "--host", "127.0.0.2", "--port", "9001"])
    monkeypatch.setenv("HOST", "")
    monkeypatch.setenv("PORT", "")
    main(["serve"])
    assert asked == [
        ("127.0.0.1", 8050),
        ("0.0.0.0", 9000),  # noqa: S104 - the same
        ("127.0.0.2", 9001),
        ("127.0.0.1", 8050),
    ]
    monkeypatch.setenv("PORT", "many")
    assert main(["serve"]) == 2
    assert capsys.readouterr().err.startswith("mmuviz: PORT=many must be")


def test_a_bad_port_hinders_no_other_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "many")
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0


def test_the_module_is_the_command(repository: Path) -> None:
    done = mmuviz("--version", cwd=repository)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mmuviz {__version__}\n", "")


def test_a_reader_that_leaves_ends_it_quietly(repository: Path) -> None:
    code = (
        "import sys; from mmuviz import cli\n"
        "cli._warm = lambda _: [print('line') for _ in range(100_000)] and 0\n"
        "sys.exit(cli.main(['warm']))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=repository,
            env=clean_environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_asking_for_help_loads_neither_dash_nor_numba(repository: Path) -> None:
    code = (
        "import contextlib, sys; from mmuviz.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "sys.exit(' '.join({'dash', 'numba', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, env=clean_environment(), capture_output=True, check=False
    )
    assert done.stderr.strip() == b""


@pytest.mark.parametrize("command", ["replay", "verify"])
def test_a_bad_recording_is_one_line_and_no_traceback(command: str, repository: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json.gz"
    bad.write_bytes(b"\x1f\x8b and no more")
    done = mmuviz(command, str(bad), cwd=repository)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert str(bad) in lines[0]
    assert "cannot be read" in lines[0]
    assert lines[1:] == ([] if command == "replay" else ["0 of 1 recordings exact"])


def answered(command: str, *, stdout: int | None, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command's answer about a file that is not there, with its output sent somewhere."""
    return subprocess.run(
        [sys.executable, "-m", "mmuviz", command, "absent.json"],
        cwd=cwd,
        env=clean_environment(**environment),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=None if stdout is not None else lambda: os.close(1),
    )


@pytest.mark.parametrize("command", ["replay", "verify"])
def test_an_output_that_cannot_be_written_is_one_line(command: str, repository: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = answered(command, stdout=full.fileno(), cwd=repository)
    said = "mmuviz: cannot write the output: No space left on device; make room there, or send it elsewhere\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize("command", ["replay", "verify"])
def test_a_closed_output_is_one_line(command: str, repository: Path) -> None:
    done = answered(command, stdout=None, cwd=repository)
    assert done.returncode == 2
    assert done.stderr.startswith("mmuviz: standard output is closed; it must be open for the answers")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_name_that_the_terminal_cannot_show_is_escaped(encoding: str, repository: Path, tmp_path: Path) -> None:
    names = [os.fsdecode(b"bytes\xff\n.json"), "日本.json"]
    for name in names:
        (tmp_path / name).write_text("no JSON")
    done = mmuviz("verify", *(str(tmp_path / name) for name in names), cwd=repository, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert "bytes\\udcff\\n.json: is not JSON" in lines[0]
    assert "日本.json" in lines[1] or "\\u65e5\\u672c.json" in lines[1]
