"""`mmuviz validate`: compares published measurements with the model's values for the same experiments."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Final, TextIO

from mmuviz.core.errors import one_line
from mmuviz.core.pages import SPTE_ENT_PER_PAGE
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS
from mmuviz.studies.experiments import experiment_of
from mmuviz.studies.measurements import Measurement, read_measurements
from mmuviz.studies.point_scenarios import SECONDS, Experiment, NotCoveredError

PS_PER_S: Final = 10**12
CLOSE: Final = 1.5
APART: Final = 1.15
"""The model must get the order of two measured values of a row right if their ratio is more than this."""


@dataclass(frozen=True)
class Result:
    """A measurement and the model's value for it.

    Attributes:
        point: the published value.
        table: published table, empty if not covered.
        modelled: the model's value in the measurement's unit; None if not covered.
        reason: the reason why it is not covered, else empty.
        fitted: whether the host's profile was fitted to it.
        assumed: values assumed because the row does not give them, as text.
        also: another interpretation of the source, as text, and the model's value for it in the measurement's unit.
    """

    point: Measurement
    table: str
    modelled: float | None
    reason: str
    fitted: bool = False
    also: tuple[str, float] | None = None
    assumed: str = ""

    @property
    def ratio(self) -> float | None:
        """Modelled over measured; None if not covered or if measured is not positive."""
        if self.modelled is None or self.point.value <= 0:
            return None
        ratio = self.modelled / self.point.value
        return ratio if math.isfinite(ratio) else None

    @property
    def error(self) -> float | None:
        """The error: max(ratio, 1/ratio) - 1; for percentages the difference in percentage points over 100."""
        if self.modelled is None:
            return None
        if self.point.unit == "percent":
            return abs(self.modelled - self.point.value) / 100
        ratio = self.ratio
        return None if ratio is None or ratio <= 0 else max(ratio, 1 / ratio) - 1

    def as_json(self) -> dict[str, object]:
        """Return the result as `--json` prints it."""
        return {
            "id": self.point.id,
            "covered": self.modelled is not None,
            "measured": self.point.value,
            "modelled": self.modelled,
            "ratio": self.ratio,
            "reason": self.reason,
            "assumed": self.assumed,
        }


@dataclass(frozen=True)
class RunSummary:
    """The metrics of a Recording, in ps and counts, so that the Recording itself can be freed.

    Attributes:
        spans: duration of each ioctl or pass in ps, by kind and iteration.
        disable_flushes: remote TLB flushes while logging was disabled.
        faults: faults of the whole run, including those of the guest's own page tables.
        stall_percent: stall as a share of the vCPUs' time in each pass, by iteration.
    """

    spans: dict[tuple[str, int], int]
    disable_flushes: int
    faults: int
    stall_percent: dict[int, float]


def summary_of(recording: Recording, scenario: Scenario) -> RunSummary:
    """Compute all metrics of a Recording."""
    calls = recording.calls
    took = (calls["end_ps"] - calls["start_ps"]).tolist()
    kinds = [CALL_KINDS[each] for each in calls["kind"].tolist()]
    rows = list(zip(kinds, calls["iteration"].tolist(), took, calls["stall_ps"].tolist(), strict=True))
    share = {
        iteration: 100 * stall / (span * scenario.vm.vcpus)
        for kind, iteration, span, stall in rows
        if kind == "dirty" and span
    }
    return RunSummary(
        spans={(kind, iteration): span for kind, iteration, span, _ in rows},
        disable_flushes=int(calls["tlb_flushes"][calls["kind"] == CALL_KINDS.index("disable")].sum()),
        faults=int(calls["pf_taken"].max()) + guest_table_pages(scenario.ram_pages),
        stall_percent=share,
    )


def guest_table_pages(pages: int) -> int:
    """Return the pages of the guest's own page tables for its test memory, which the guest maps by 4K entries.

    They are in a memslot of 4K pages, and the CPU's page walks set accessed bits in them: each page faults once, in
    addition to the faults of the test memory itself.

    Kernel: __virt_pg_map(), tools/testing/selftests/kvm/lib/x86/processor.c
    """
    found = 0
    while pages > 1:
        pages = -(-pages // SPTE_ENT_PER_PAGE)
        found += pages
    return found


def with_iterations(scenario: Scenario, iterations: int) -> Scenario:
    """Change the number of iterations of a Scenario, if its driver has one."""
    if "iterations" not in type(scenario.driver).model_fields:
        return scenario
    return scenario.model_copy(update={"driver": scenario.driver.model_copy(update={"iterations": iterations})})


class Runs:
    """A cache of runs: each Scenario runs once, with as many iterations as its measurements need.

    A metric of the end of the run needs its own run with exactly its number of iterations.
    """

    def __init__(self, experiments: Iterable[Experiment]) -> None:
        self._iterations: dict[Scenario, int] = {}
        for each in experiments:
            for scenario in () if each.metric in OF_THE_END else each.scenarios:
                key, count = with_iterations(scenario, 0), getattr(scenario.driver, "iterations", 0)
                self._iterations[key] = max(self._iterations.get(key, 0), count)
        self._summary = cache(self._run)

    def _run(self, scenario: Scenario) -> RunSummary:
        return summary_of(run(scenario), scenario)

    def of(self, scenario: Scenario, metric: str) -> RunSummary:
        """Return the metrics of a Scenario's run that includes `metric`."""
        if metric in OF_THE_END:
            return self._summary(scenario)
        return self._summary(with_iterations(scenario, self._iterations[with_iterations(scenario, 0)]))


OF_THE_END: Final = ("disable", "disable_flushes", "faults")
ONCE: Final = ("enable", "disable", "populate", "pre_split")


def span(run: RunSummary, name: str, iteration: int) -> int:
    """Return the duration of an ioctl or a pass, ps.

    Raises:
        NotCoveredError: the run has no such call or pass.
    """
    if name in ONCE:
        found = [took for (each, _), took in run.spans.items() if each == name]
        if found:
            return found[0]
    took = run.spans.get((name, iteration))
    if took is None:
        raise NotCoveredError(f"the experiment has no {name} in iteration {iteration}")
    return took


def modelled(experiment: Experiment, unit: str, runs: Runs) -> float:
    """Run an experiment and compute its metric.

    Args:
        experiment: the measurement's experiment.
        unit: the measurement's unit.
        runs: the cache of runs.

    Returns:
        The metric in that unit.

    Raises:
        NotCoveredError: the run has no such metric.
    """
    metric, iteration = experiment.metric, experiment.iteration
    found = runs.of(experiment.scenario, metric)
    if metric == "disable_flushes":
        return float(found.disable_flushes)
    if metric == "faults":
        return float(found.faults)
    if metric == "stall_share":
        return found.stall_percent[iteration]
    if experiment.compared_with is not None:
        other = runs.of(experiment.compared_with, metric)
        if metric == "cpu_dirty":
            more = span(found, "dirty", 1) - span(other, "dirty", 1)
            return more * experiment.scenario.vm.vcpus / PS_PER_S
        return (span(found, "enable", 0) - span(other, "enable", 0)) / PS_PER_S
    return span(found, metric, iteration) * SECONDS.get(unit, SECONDS["s"])


def each_result(points: list[Measurement], say: Callable[[str], None] = lambda _: None) -> Iterator[Result]:
    """Run the experiment of every measurement, one after the other.

    Args:
        points: published values.
        say: called before each measurement with its number and id.

    Yields:
        A result for each, in order; `modelled` depends only on the experiment and its metric.
    """
    experiments: list[Experiment | NotCoveredError] = []
    for point in points:
        try:
            experiments.append(experiment_of(point))
        except NotCoveredError as reason:
            experiments.append(reason)
    runs = Runs(each for each in experiments if isinstance(each, Experiment))
    for number, (point, experiment) in enumerate(zip(points, experiments, strict=True), 1):
        say(f"point {number} of {len(points)}: {one_line(point.id)}")
        yield _result(point, experiment, runs)


def results_of(points: list[Measurement]) -> list[Result]:
    """Return the results of each_result() as a list."""
    return list(each_result(points))


def _result(point: Measurement, experiment: Experiment | NotCoveredError, runs: Runs) -> Result:
    if isinstance(experiment, NotCoveredError):
        return Result(point, "", None, str(experiment))
    try:
        value = modelled(experiment, point.unit, runs)
        other = experiment.read_otherwise
        also = other and (other[0], modelled(replace(experiment, scenario=other[1]), point.unit, runs))
    except NotCoveredError as reason:
        return Result(point, "", None, str(reason))
    fitted = content_of(point) in fitted_rows(experiment.scenario.host.profile)
    return Result(point, experiment.table, value, "", fitted, also, experiment.assumed)


def content_of(point: Measurement) -> str:
    """Return the content of a measurement without its id, as text."""
    return json.dumps([point.source_title, point.workload, point.metric, point.unit, point.strategy], sort_keys=True)


@cache
def fitted_rows(host: str) -> frozenset[str]:
    """Return the contents of the packaged measurements to which a profile was fitted."""
    used = PROFILES[host].rows_used
    return frozenset(content_of(each) for each in read_measurements() if used and each.id.startswith(used))


def wrong_orders(results: list[Result]) -> list[tuple[Result, Result]]:
    """Find pairs of strategies in one row, measured more than 15 % apart, whose modelled order is reversed."""
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
    """Return the median error, the worst error, and the number of measurements within a factor of 1.5."""
    errors = [each.error for each in results if each.error is not None]
    if not errors:
        return 0.0, 0.0, 0
    return statistics.median(errors), max(errors), sum(error <= CLOSE - 1 for error in errors)


def lines_of_point(result: Result) -> Iterator[str]:
    """Write the lines of a covered measurement."""
    point, ratio = result.point, "" if result.ratio is None else f"{result.ratio:7.3f}"
    values = f"{point.value:>14.6g} {result.modelled:>14.6g} {point.unit:<8}"
    yield f"  {point.id:<64} {values}{ratio} {'fitted' if result.fitted else ''}".rstrip()
    if result.also:
        label, value = result.also
        also = "" if point.value <= 0 else f"{value / point.value:7.3f}"
        yield f"    {label:<62} {point.value:>14.6g} {value:>14.6g} {point.unit:<8}{also}".rstrip()


def _assumed_line(result: Result) -> Iterator[str]:
    if result.assumed:
        yield f"    {result.assumed}"


def summary_lines(results: list[Result]) -> Iterator[str]:
    """Write the errors by table, separately for measurements to which the host's profile was fitted and all others."""
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
    """Write the report; each measurement's lines as soon as its result is known."""
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
        yield from _assumed_line(each)
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


def validate_command(
    path: Path | None, out: TextIO, *, json_form: bool, say: Callable[[str], None] = lambda _: None
) -> int:
    """`mmuviz validate [FILE]`: print the report.

    Args:
        path: file of measurements; None for the packaged ones.
        out: output stream.
        json_form: print a JSON list instead of the tables.
        say: called with the measurement that is run, unless the report's own lines show it on a terminal.

    Returns:
        Exit status: 0.

    Raises:
        InputError: the file does not contain measurements.
    """
    points = read_measurements(path)
    if json_form:
        found = [each.as_json() for each in each_result(points, say)]
        out.write(json.dumps(found, indent=1) + "\n")
        return 0
    results = each_result(points) if out.isatty() else each_result(points, say)
    for line in lines_of(results):
        out.write(one_line(line) + "\n")
        out.flush()
    return 0
