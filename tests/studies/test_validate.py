"""Validation runs each experiment and cannot know the answer."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmuviz.cli import main
from mmuviz.core.errors import InputError
from mmuviz.costs import hosts
from mmuviz.costs.hosts import MEANING, PROFILES
from mmuviz.studies import validate
from mmuviz.studies.experiments import experiment_of
from mmuviz.studies.measurements import Measurement, read_measurements
from mmuviz.studies.point_scenarios import NotCoveredError
from mmuviz.studies.validate import lines_of, results_of, summary, validate_command, wrong_orders

POINTS = read_measurements()
IN_SCOPE = (
    "Eager Page Splitting for the TDP MMU v1",
    "[PATCH v1/v2] KVM: x86/mmu: Eager Page Splitting for the TDP MMU",
    "commit a3fe5dbda0a4",
    "Extend Eager Page Splitting to the shadow MMU",
    "TDP MMU on fault",
    "huge page recovery during disable-dirty-log",
    "KVM: arm64: Eager",
    "dirty log gradually in small chunks",
    "in advance of dirty logging",
)
OUT_OF_SCOPE = ("gfp_nowait", "populate_memory_time", "execute_memory_time")


def small(points: list[Measurement]) -> list[Measurement]:
    """Points whose experiment takes well under a second."""
    return [
        point
        for point in points
        if point.workload.get("vcpus") == 2
        and point.workload.get("mem_per_vcpu_gib") == 1
        and "arch" not in point.workload
    ]


def values(points: list[Measurement]) -> list[float | None]:
    return [each.modelled for each in results_of(points)]


@pytest.fixture(scope="module")
def measured() -> list[validate.Result]:
    return results_of(small(POINTS))


def test_nine_tenths_of_the_tables_in_scope_are_covered() -> None:
    scope = [
        point
        for point in POINTS
        if any(title in point.source_title for title in IN_SCOPE) and not point.metric.startswith(OUT_OF_SCOPE)
    ]
    assert len(scope) > 220
    covered = 0
    for point in scope:
        try:
            covered += experiment_of(point) is not None
        except NotCoveredError:
            continue
    assert covered / len(scope) > 0.97


def test_small_experiments_come_out_as_measured(measured: list[validate.Result]) -> None:
    median, _, close = summary(measured)
    assert len(measured) > 30
    assert median < 0.10
    assert close == len(measured)
    assert wrong_orders(measured) == []


def test_the_answer_does_not_depend_on_what_was_measured(measured: list[validate.Result]) -> None:
    blind = [replace(point, value=1.0, id=f"renamed-{at}") for at, point in enumerate(small(POINTS))]
    assert values(blind) == [each.modelled for each in measured]


def test_a_cost_that_changes_moves_the_points_that_rest_on_it(
    measured: list[validate.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = PROFILES["split_on_fault"]
    dearer = replace(host, values={**host.values, "world_switch_ns": 2 * host["world_switch_ns"]})
    monkeypatch.setitem(hosts.PROFILES, "split_on_fault", dearer)
    moved = [
        before.point.id
        for before, after in zip(measured, values(small(POINTS)), strict=True)
        if after is not None and before.modelled is not None and after > 1.2 * before.modelled
    ]
    # Faults cost a world switch each; eagerly split pages under PML do not fault, and other tables have other hosts.
    assert moved == [
        "fault-w5-2v-lazy_zap",
        "fault-w5-2v-lazy_split_on_fault",
        "fault-w100-2v-lazy_zap",
        "fault-w100-2v-lazy_split_on_fault",
    ]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_a_profile_is_whole_and_fits_few_constants(profile: hosts.HostProfile) -> None:
    assert set(profile.values) == set(MEANING)
    assert len(profile.fitted) <= 8
    assert profile.rows_used or not profile.fitted
    for constant in profile.constants():
        assert constant.low <= constant.value <= constant.high, constant
    for rows in profile.rows_used:
        assert any(point.id.startswith(rows) for point in POINTS), rows


def test_points_that_are_not_covered_say_why() -> None:
    points = [
        point for point in POINTS if "cloud-hypervisor" in point.source_title or "nx_huge_pages" in point.workload
    ]
    found = results_of(points)
    assert len(found) > 10
    assert all(each.modelled is None and each.reason and each.as_json()["covered"] is False for each in found)


def test_the_report_and_its_json_say_the_same(tmp_path: Path) -> None:
    rows = [point for point in small(POINTS) if "eager" in point.strategy][:4]
    path = tmp_path / "some.json"
    path.write_text(json.dumps([{**vars(point), "source_url": "", "notes": ""} for point in rows]))
    out = io.StringIO()
    assert validate_command(path, out, json_form=True) == 0
    found = json.loads(out.getvalue())
    assert [set(each) for each in found] == [
        {"id", "covered", "measured", "modelled", "ratio", "reason", "assumed"}
    ] * len(rows)
    text = "\n".join(lines_of(results_of(read_measurements(path))))
    for each in found:
        assert each["ratio"] == pytest.approx(each["modelled"] / each["measured"])
        assert f"{each['modelled']:.6g}" in text


def test_a_measured_zero_has_no_ratio() -> None:
    point = replace(small(POINTS)[0], value=0.0)
    (result,) = results_of([point])
    assert result.ratio is None
    assert result.error is None


@pytest.mark.parametrize(
    "workload",
    [
        {},
        {"tool": "dirty_log_perf_test", "vcpus": "many"},
        {"vcpus": -1},
        {"vcpus": 10**9},
        {"vcpus": 2, "mem_per_vcpu_gib": 10**6},
        {"vcpus": 2, "write_pct": 101},
        {"vcpus": 2, "backing": "clay"},
    ],
    ids=str,
)
def test_a_workload_that_makes_no_sense_is_not_covered(workload: dict[str, object]) -> None:
    for point in {point.source_title: point for point in POINTS}.values():
        strange = replace(point, workload=workload)
        with contextlib.suppress(NotCoveredError):
            assert experiment_of(strange).scenario.memory[0].pages <= 1 << 30


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{}", "must be a JSON list"),
        ("[", "must be a JSON list"),
        ("[1]", "entry 0 must be an object"),
        ('[{"id": 1}]', "id must be a text"),
        ('[{"id": "a", "workload": 1}]', "workload must be an object"),
        ('[{"id": "a", "workload": {}, "value": "x"}]', "value must be a number"),
        ('[{"id": "a", "workload": {}, "value": NaN}]', "value must be a number"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(
    text: str, rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rule):
        read_measurements(path)
    assert main(["validate", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["validate", str(tmp_path / "none.json")]) == 2


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "[" * 100_000, '[{"workload": {}, "value": 1%s}]' % ("0" * 400)],  # braces
    ids=["empty", "object", "number", "deep", "huge"],
)
def test_a_bad_file_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    assert main(["validate", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_device_is_not_read() -> None:
    with pytest.raises(InputError, match="a device"):
        read_measurements(Path("/dev/zero"))
    with pytest.raises(InputError, match=r"none\.json: No such file or directory; it must be a JSON list"):
        read_measurements(Path("none.json"))


def test_a_unit_that_a_reading_cannot_have_is_not_covered() -> None:
    point = small(POINTS)[0]
    assert experiment_of(point).metric == "dirty"
    for unit in ("count", "percent", "cpu_s", "x"):
        with pytest.raises(NotCoveredError, match="unit"):
            experiment_of(replace(point, unit=unit))


def test_what_is_fitted_does_not_depend_on_names() -> None:
    point = next(each for each in small(POINTS) if each.id.startswith("fault-w100-2v-eager"))
    (result,) = results_of([replace(point, id="another", value=1.0)])
    assert result.fitted


def test_another_row_of_the_file_moves_no_reading() -> None:
    point = next(each for each in POINTS if each.id == "disable-disable_dirty_logging_time-before")
    tiny = replace(point, workload={**point.workload, "vcpus": 2, "mem_per_vcpu_gib": 1})
    longer = replace(tiny, metric="iteration3_dirty_memory_time")
    assert values([tiny]) == values([tiny, longer])[:1]


def without_more(point: Measurement) -> validate.Result:
    """A point of a whole run, with as many iterations as its metric needs and no more."""
    experiment = experiment_of(point)
    driver = experiment.scenario.driver.model_copy(update={"iterations": max(experiment.iteration, 1)})
    experiment = replace(experiment, scenario=experiment.scenario.model_copy(update={"driver": driver}))
    return validate.Result(
        point, experiment.table, validate.modelled(experiment, point.unit, validate.Runs([experiment])), ""
    )


@pytest.mark.parametrize("run", ["tdp", "tdp-series", "legacy"])
def test_populating_a_host_that_has_nothing_comes_out_as_measured(run: str) -> None:
    """The first of the three was fitted; on the shadow MMU nobody zeroes under mmu_lock, which would take minutes."""
    (point,) = (each for each in POINTS if each.id == f"gardon21-{run}-populate_memory_time")
    error = without_more(point).error
    assert error is not None
    assert error < 0.10


@pytest.mark.parametrize(("run", "most"), [("tdp", 0.15), ("tdp-series", 0.15), ("legacy", 0.5)])
def test_the_first_get_comes_out_as_measured(run: str, most: float) -> None:
    (point,) = (each for each in POINTS if each.id == f"gardon21-{run}-iteration1_get_dirty_log_time")
    error = without_more(point).error
    assert error is not None
    assert error < most


def test_disabling_is_read_off_a_run_with_its_iterations() -> None:
    (point,) = (each for each in POINTS if each.id == "gardon21-tdp-disable_dirty_logging_time")
    assert getattr(experiment_of(point).scenario.driver, "iterations", 0) == 2


def test_a_contended_lock_comes_out_as_measured_with_eight_vcpus() -> None:
    """Series differ by up to a third from one to the next with 8 vCPUs; the model lies among them."""
    rows = [
        each
        for each in POINTS
        if each.id.startswith(("shadow-v1", "shadow-v3-tdpN-w100", "shadow-v3-eptN-w100", "nested-v4-w"))
        and each.id.endswith("iteration1_dirty_memory_time-8v-N")
    ]
    errors = [each.error for each in results_of(rows)]
    assert len(errors) == 7
    assert all(each is not None and each < 0.3 for each in errors)


def test_code_that_no_release_has_is_not_covered() -> None:
    (point,) = (each for each in POINTS if each.id == "gardon21-tdp-series-disable_dirty_logging_time")
    with pytest.raises(NotCoveredError, match="no release"):
        experiment_of(point)


def test_a_chunk_that_is_no_size_is_not_covered() -> None:
    point = next(each for each in POINTS if each.id.startswith("koller23"))
    with pytest.raises(NotCoveredError, match="split_chunk"):
        experiment_of(replace(point, workload={**point.workload, "split_chunk": "some"}))
