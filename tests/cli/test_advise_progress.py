"""`mmuviz advise` while it runs: the estimate first, rows as they come, and what is known at Ctrl-C."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from threading import Barrier, Condition
from typing import Any

import pytest

from mmuviz.cli import advise, main
from mmuviz.cli.ranges import SECONDS_A_RUN
from mmuviz.engine.run import run
from mmuviz.studies import side_by_side
from mmuviz.studies.advice import candidates, migration_of
from mmuviz.studies.estimate import cost_of
from mmuviz.studies.remedies import AUTO_CONVERGE, BANDWIDTH, DIRTY_LIMIT, DOWNTIME_LIMIT, POSTCOPY
from mmuviz.studies.scenario_files import read_base
from tests.cli.test_advise import ALONE, HOT, LONG_S, Out, Patch, file, replace_run, rows_of


def test_the_number_of_runs_and_their_estimate_are_said_first(tmp_path: Path, monkeypatch: Patch, capsys: Out) -> None:
    base, _ = read_base(str(file(tmp_path)), {})
    chosen, _ = candidates(migration_of(base))
    seconds = sum(cost_of(each.scenario).seconds + SECONDS_A_RUN for each in chosen)
    monkeypatch.setattr(advise, "duration_text", lambda given: f"{given} seconds")
    told: list[str] = []
    replace_run(monkeypatch, lambda number: told.append(capsys.readouterr().err) if number == 0 else None)
    assert main(["advise", str(file(tmp_path)), *ALONE]) == 0
    assert told[0].startswith(
        f"mmuviz: {len(chosen)} runs, estimated to take {seconds} seconds of one core in all, one "
    )
    assert "(--limit-memory 1GiB: two at a time)" in told[0]
    assert main(["advise", str(file(tmp_path))]) == 0
    assert ", two at a time; " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "less than 1 s"), (59.6, "60 s"), (99.4, "99 s"), (100, "2 min"), (600, "10 min")]
)
def test_estimates_are_said_in_minutes(seconds: float, text: str) -> None:
    assert advise.duration_text(seconds) == text


class Pipe(io.StringIO):
    """Standard output that a reader sees once it is flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = ""
        self.changed = Condition()

    def flush(self) -> None:
        with self.changed:
            self.seen = self.getvalue()
            self.changed.notify_all()

    def shows(self, lines: int) -> bool:
        """Wait until the table has so many rows; False if it never has."""
        with self.changed:
            return self.changed.wait_for(lambda: "\npolicy " in self.seen and self.rows() >= lines, LONG_S)

    def rows(self) -> int:
        return len(self.seen.partition("\npolicy ")[2].split("\n\n")[0].splitlines()) - 1


@pytest.mark.parametrize("options", [(), ALONE])
def test_each_row_is_printed_while_later_runs_go_on(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: Patch
) -> None:
    """A run waits until all rows are printed but that of the run beside it."""
    pipe, shown = Pipe(), []
    at_once = 1 if options else 2
    monkeypatch.setattr(sys, "stdout", pipe)
    replace_run(monkeypatch, lambda number: shown.append(pipe.shows(max(number + 1 - at_once - 1, 0))))
    assert main(["advise", str(file(tmp_path)), *options]) == 0
    assert len(shown) > 4
    assert all(shown)
    assert max(map(len, pipe.seen.splitlines())) <= 72


def test_rows_are_in_order_though_runs_end_in_another(tmp_path: Path, monkeypatch: Patch, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path)), *ALONE]) == 0
    expected = capsys.readouterr().out
    pipe = Pipe()
    ended = Condition()
    done: set[int] = set()
    made = iter(range(1000))

    def reversed_pairs(*arguments: Any, **options: Any) -> object:  # noqa: ANN401  # those of run()
        """The first run of all ends after the second and the third one."""
        number = next(made)
        recording = run(*arguments, **options)
        with ended:
            done.add(number)
            ended.notify_all()
            if number == 0:
                assert ended.wait_for(lambda: {1, 2} <= done, LONG_S)
        return recording

    monkeypatch.setattr(side_by_side, "run", reversed_pairs)
    monkeypatch.setattr(sys, "stdout", pipe)
    assert main(["advise", str(file(tmp_path))]) == 0
    assert pipe.seen == expected


def test_two_runs_are_made_at_a_time_if_memory_allows(tmp_path: Path, monkeypatch: Patch) -> None:
    both = Barrier(2)

    def meet(number: int) -> None:
        if number < 2:
            both.wait(LONG_S)

    replace_run(monkeypatch, meet)
    assert main(["advise", str(file(tmp_path)), "--json"]) == 0
    assert not both.broken


def test_json_is_one_document(tmp_path: Path, monkeypatch: Patch) -> None:
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    replace_run(monkeypatch, lambda _: pipe.flush())
    assert main(["advise", str(file(tmp_path)), "--json"]) == 0
    assert pipe.seen.count("\n") == 1
    json.loads(pipe.seen)


# Not everything is run


def stopped(number: int, at: int) -> None:
    if number == at:
        raise KeyboardInterrupt


def test_ctrl_c_prints_what_is_known(tmp_path: Path, monkeypatch: Patch, capsys: Out) -> None:
    base, _ = read_base(str(file(tmp_path)), {})
    chosen, _ = candidates(migration_of(base))
    replace_run(monkeypatch, lambda number: stopped(number, 3))
    assert main(["advise", str(file(tmp_path)), *ALONE]) == 130
    text = capsys.readouterr().out
    rows = rows_of(text)
    assert len(rows) == len(chosen)
    assert [row[0].rstrip("*") for row in rows] == [each.policy for each in chosen]
    assert [row[-2:] == ["not", "run"] for row in rows] == [False] * 3 + [True] * (len(chosen) - 3)
    joined = " ".join(text.split())
    assert f"Not run: {chosen[3].policy}" in joined
    assert joined.count("Ctrl-C ended the command before") == 1
    assert "Least stall of all vCPUs: " in joined
    assert max(map(len, text.splitlines())) <= 72


def test_ctrl_c_leaves_a_document_too(tmp_path: Path, monkeypatch: Patch, capsys: Out) -> None:
    replace_run(monkeypatch, lambda number: stopped(number, 2))
    assert main(["advise", str(file(tmp_path, HOT)), "--json", *ALONE]) == 130
    document = json.loads(capsys.readouterr().out)
    assert len(document["candidates"]) == 2
    assert {each["why"] for each in document["not_run"]} == {"Ctrl-C ended the command before"}
    assert document["remedies"] == []
    assert document["not_known"] == [BANDWIDTH, DOWNTIME_LIMIT, AUTO_CONVERGE, DIRTY_LIMIT, POSTCOPY]


def test_ctrl_c_while_changes_are_tried_says_which_are_not_known(
    tmp_path: Path, monkeypatch: Patch, capsys: Out
) -> None:
    base, _ = read_base(str(file(tmp_path, HOT)), {})
    chosen, _ = candidates(migration_of(base))
    # The first runs of all kinds of change are made in this order; that of auto-converge ends its search.
    replace_run(monkeypatch, lambda number: stopped(number, len(chosen) + 3))
    assert main(["advise", str(file(tmp_path, HOT)), *ALONE]) == 130
    text = capsys.readouterr().out
    assert not [row for row in rows_of(text) if row[-1] == "run"]
    assert f"\n  {AUTO_CONVERGE}: " in text
    joined = " ".join(text.split())
    assert f"Not known yet whether it helps: {BANDWIDTH}, {DOWNTIME_LIMIT}, {DIRTY_LIMIT}, {POSTCOPY}." in joined
