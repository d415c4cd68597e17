"""`mmuviz validate`: published measurements beside what the model says of the same experiments."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Final, TextIO

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.run import Run, simulate
from mmuviz.engine.scenario import Scenario
from mmuviz.ground.errors import one_line
from mmuviz.ground.pages import SPTE_ENT_PER_PAGE
from mmuviz.mmu.state import STAT_PF_TAKEN
from mmuviz.studies.points import Point, read_points
from mmuviz.studies.published import SECONDS, Experiment, NotCoveredError, experiment_of

PS_PER_S: Final = 10**12
CLOSE: Final = 1.5
APART: Final = 1.15
"""Two measured values of one row whose order the model must get right differ by more than this."""


@dataclass(frozen=True)
class Result:
    """One point, measured and modelled.

    Attributes:
        point: published.
        table: published table, empty where not covered.
        modelled: in the point's unit; None where not covered.
        reason: why it is not covered, else empty.
        fitted: whether the host's profile was fitted to it.
        also: what comes out where the point is read in another way, in its unit; and that way in words.
    """

    point: Point
    table: str
    modelled: float | None
    reason: str
    fitted: bool = False
    also: tuple[str, float] | None = None

    @property
    def ratio(self) -> float | None:
        """Modelled over measured; None where not covered or measured is not positive."""
        if self.modelled is None or self.point.value <= 0:
            return None
        ratio = self.modelled / self.point.value
        return ratio if math.isfinite(ratio) else None

    @property
    def error(self) -> float | None:
        """How far off: max(ratio, 1/ratio) - 1; of percentages the difference in percentage points over 100."""
        if self.modelled is None:
            return None
        if self.point.unit == "percent":
            return abs(self.modelled - self.point.value) / 100
        ratio = self.ratio
        return None if ratio is None or ratio <= 0 else max(ratio, 1 / ratio) - 1

    def as_json(self) -> dict[str, object]:
        """The point as `--json` prints it."""
        return {
            "id": self.point.id,
            "covered": self.modelled is not None,
            "measured": self.point.value,
            "modelled": self.modelled,
            "ratio": self.ratio,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Figures:
    """What points read off a Run, in ps and counts, so that the Run itself can go."""

    spans: dict[tuple[str, int], int]
    flushes: int
    faults: int
    stall_share: dict[int, float]


def figures_of(run: Run) -> Figures:
    """Read everything off a Run."""
    spans = {(each.name, each.iteration): each.took_ps for each in run.calls}
    spans |= {(each.name, each.iteration): each.took_ps for each in run.passes}
    flushes = sum(call.flushes for call in run.calls if call.name == "disable")
    vcpus = run.scenario.vm.vcpus
    share = {
        each.iteration: 100 * each.stall_ps / (each.took_ps * vcpus)
        for each in run.passes
        if each.name == "dirty" and each.took_ps
    }
    faults = int(run.machine.state.stat[STAT_PF_TAKEN]) + guest_table_pages(run.scenario.memslot.pages)
    return Figures(spans, flushes, faults, share)


def guest_table_pages(pages: int) -> int:
    """Pages of the guest's own tables for its test memory, which the guest maps by 4K entries.

    They lie in a memslot of 4K pages, and the processor's walks write accessed bits to them: each
    faults once, besides what the test memory itself costs.

    Kernel: __virt_pg_map(), tools/testing/selftests/kvm/lib/x86/processor.c
    """
    found = 0
    while pages > 1:
        pages = -(-pages // SPTE_ENT_PER_PAGE)
        found += pages
    return found


class Runs:
    """Each Scenario is run once, for as many iterations as any point of it wants.

    But where the reading is of the end of the run, for its own iterations: no other point moves it.
    """

    def __init__(self, experiments: Iterable[Experiment]) -> None:
        self._iterations: dict[Scenario, int] = {}
        for each in experiments:
            for scenario in () if each.reading in OF_THE_END else each.scenarios:
                key = replace(scenario, iterations=0)
                self._iterations[key] = max(self._iterations.get(key, 0), scenario.iterations)
        self._figures = cache(self._run)

    def _run(self, key: Scenario) -> Figures:
        return figures_of(simulate(key))

    def of(self, scenario: Scenario, reading: str) -> Figures:
        """The figures of a Scenario for a reading."""
        if reading in OF_THE_END:
            return self._figures(scenario)
        return self._figures(replace(scenario, iterations=self._iterations[replace(scenario, iterations=0)]))


OF_THE_END: Final = ("disable", "disable_flushes", "faults")
ONCE: Final = ("enable", "disable", "populate", "pre_split")


def span(figures: Figures, name: str, iteration: int) -> int:
    """How long an ioctl or a pass took, ps.

    Raises:
        NotCoveredError: the Run has no such thing.
    """
    if name in ONCE:
        found = [took for (each, _), took in figures.spans.items() if each == name]
        if found:
            return found[0]
    took = figures.spans.get((name, iteration))
    if took is None:
        raise NotCoveredError(f"the experiment has no {name} in iteration {iteration}")
    return took


def modelled(experiment: Experiment, unit: str, runs: Runs) -> float:
    """Run an experiment and read its point off.

    Args:
        experiment: of the point.
        unit: of the point.
        runs: the Runs so far.

    Returns:
        In the unit.

    Raises:
        NotCoveredError: the Run has no such reading.
    """
    reading, iteration = experiment.reading, experiment.iteration
    figures = runs.of(experiment.scenario, reading)
    if reading == "disable_flushes":
        return float(figures.flushes)
    if reading == "faults":
        return float(figures.faults)
    if reading == "stall_share":
        return figures.stall_share[iteration]
    if experiment.beside is not None:
        beside = runs.of(experiment.beside, reading)
        if reading == "cpu_dirty":
            more = span(figures, "dirty", 1) - span(beside, "dirty", 1)
            return more * experiment.scenario.vm.vcpus / PS_PER_S
        return (span(figures, "enable", 0) - span(beside, "enable", 0)) / PS_PER_S
    return span(figures, reading, iteration) * SECONDS.get(unit, SECONDS["s"])


def each_result(points: list[Point]) -> Iterator[Result]:
    """Run the experiment of every point, one after the other.

    Args:
        points: published.

    Yields:
        A result for each, in order; `modelled` depends on nothing but what was run and which metric it is.
    """
    experiments: list[Experiment | NotCoveredError] = []
    for point in points:
        try:
            experiments.append(experiment_of(point))
        except NotCoveredError as reason:
            experiments.append(reason)
    runs = Runs(each for each in experiments if isinstance(each, Experiment))
    for point, experiment in zip(points, experiments, strict=True):
        yield _result(point, experiment, runs)


def results_of(points: list[Point]) -> list[Result]:
    """each_result() of every point."""
    return list(each_result(points))


def _result(point: Point, experiment: Experiment | NotCoveredError, runs: Runs) -> Result:
    if isinstance(experiment, NotCoveredError):
        return Result(point, "", None, str(experiment))
    try:
        value = modelled(experiment, point.unit, runs)
        other = experiment.read_otherwise
        also = other and (other[0], modelled(replace(experiment, scenario=other[1]), point.unit, runs))
    except NotCoveredError as reason:
        return Result(point, "", None, str(reason))
    return Result(point, experiment.table, value, "", content_of(point) in fitted_rows(experiment.scenario.host), also)


def content_of(point: Point) -> str:
    """What was measured, whatever it is called."""
    return json.dumps([point.source_title, point.workload, point.metric, point.unit, point.strategy], sort_keys=True)


@cache
def fitted_rows(host: str) -> frozenset[str]:
    """The contents of the shipped points that a profile was fitted to."""
    used = PROFILES[host].rows_used
    return frozenset(content_of(each) for each in read_points() if used and each.id.startswith(used))


def wrong_orders(results: list[Result]) -> list[tuple[Result, Result]]:
    """Pairs of strategies in one row, measured more than 15 % apart, whose modelled order is the other one."""
    rows: dict[str, list[Result]] = {}
    for each in results:
        if each.modelled is not None:
            work = {name: value for name, value in each.point.workload.items() if name not in ("note", "hw")}
            key = json.dumps([each.point.source_title, work, each.point.metric], sort_keys=True)
            rows.setdefault(key, []).append(each)
    found = []
    for row in rows.values():
        for one, other in combinations(row, 2):
            low, high = sorted((one, other), key=lambda each: each.point.value)
            apart = low.point.value > 0 and high.point.value / low.point.value > APART
            if apart and low.modelled is not None and high.modelled is not None and low.modelled >= high.modelled:
                found.append((low, high))
    return found


def summary(results: list[Result]) -> tuple[float, float, int]:
    """Median error, worst error, and how many points are within 1.5x."""
    errors = [each.error for each in results if each.error is not None]
    if not errors:
        return 0.0, 0.0, 0
    return statistics.median(errors), max(errors), sum(error <= CLOSE - 1 for error in errors)


def lines_of_point(result: Result) -> Iterator[str]:
    """A covered point in the report."""
    point, ratio = result.point, "" if result.ratio is None else f"{result.ratio:7.3f}"
    values = f"{point.value:>14.6g} {result.modelled:>14.6g} {point.unit:<8}"
    yield f"  {point.id:<64} {values}{ratio} {'fitted' if result.fitted else ''}".rstrip()
    if result.also:
        words, value = result.also
        also = "" if point.value <= 0 else f"{value / point.value:7.3f}"
        yield f"    {words:<62} {point.value:>14.6g} {value:>14.6g} {point.unit:<8}{also}".rstrip()


def summary_lines(results: list[Result]) -> Iterator[str]:
    """Errors by table, of the points that the host's profile was fitted to and of all others."""
    covered = [each for each in results if each.modelled is not None]
    groups: dict[str, list[Result]] = {}
    for each in covered:
        groups.setdefault(f"{each.table}, {'fitted' if each.fitted else 'not fitted'}", []).append(each)
    groups["all that are fitted"] = [each for each in covered if each.fitted]
    groups["all that are not fitted"] = [each for each in covered if not each.fitted]
    groups["overall"] = covered
    yield f"{'table':<30}{'points':>7}{'median error':>14}{'worst':>9}{'within 1.5x':>13}"
    for name, rows in groups.items():
        median, worst, close = summary(rows)
        yield f"{name:<30}{len(rows):>7}{median:>13.1%} {worst:>8.0%}{close:>9} of {len(rows)}"


def lines_of(results: Iterable[Result]) -> Iterator[str]:
    """The report; each point's line as soon as there is its result."""
    seen: list[Result] = []
    table = ""
    for each in results:
        seen.append(each)
        if each.modelled is None:
            continue
        if each.table != table:
            table = each.table
            yield table
        yield from lines_of_point(each)
    yield ""
    yield from summary_lines(seen)
    wrong = wrong_orders(seen)
    yield f"{len(wrong)} pairs in the wrong order"
    for low, high in wrong:
        yield (
            f"  {low.point.id} {low.point.value:g} < {high.point.id} {high.point.value:g}, "
            f"modelled {low.modelled:g} and {high.modelled:g}"
        )
    left = [each for each in seen if each.modelled is None]
    yield f"{len(left)} of {len(seen)} points not covered"
    for each in left:
        yield f"  {each.point.id}: {each.reason}"


def validate_command(path: Path | None, out: TextIO, *, json_form: bool) -> int:
    """`mmuviz validate [FILE]`: print the report.

    Args:
        path: measurements; None for the shipped ones.
        out: where it goes.
        json_form: a JSON list in place of the tables.

    Returns:
        Exit status: 0.

    Raises:
        InputError: the file is not one of measurements.
    """
    results = each_result(read_points(path))
    if json_form:
        out.write(json.dumps([each.as_json() for each in results], indent=1) + "\n")
        return 0
    for line in lines_of(results):
        out.write(one_line(line) + "\n")
        out.flush()
    return 0
