"""Hosts larger than any that was measured say so, and no host takes more vCPUs than it has threads."""

from __future__ import annotations

import pytest

from mmuviz.costs.hosts import MEANING, MEASURED, PROFILES, HostProfile, check_threads
from mmuviz.ground.errors import InputError


@pytest.mark.parametrize("name", ["tdp_eager", "split_on_fault"])
def test_a_host_of_416_threads_is_extrapolated(name: str) -> None:
    large, small = PROFILES[f"{name}_416"], PROFILES[name]
    assert (large["cpus"], large["cores"], large["socket_cores"], large["sockets"]) == (416, 208, 26, 8)
    assert large["socket_cores"] * large["sockets"] == large["cores"]
    assert large.extrapolated
    assert large.says.startswith("extrapolated:")
    assert "assumption" in large.says
    changed = {each for each in small.values if small[each] != large[each]}
    assert all(each in large.says for each in changed)
    assert not changed & set(large.fitted)
    assert not any(each.extrapolated for each in MEASURED.values())


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_constant_is_plausible(profile: HostProfile) -> None:
    for name, (_, low, high, _) in MEANING.items():
        assert low <= profile[name] <= high


def test_more_vcpus_than_threads_are_refused() -> None:
    check_threads(PROFILES["tdp_eager"], 96)
    check_threads(PROFILES["tdp_eager_416"], 416)
    with pytest.raises(InputError, match=r"vcpus=97 must be at most 96.*choose host=tdp_eager_416, or fewer vCPUs"):
        check_threads(PROFILES["tdp_eager"], 97)
    with pytest.raises(InputError, match="host=split_on_fault_416"):
        check_threads(PROFILES["split_on_fault"], 200)
    with pytest.raises(InputError, match="host=ampere_one"):
        check_threads(PROFILES["kunpeng_920"], 150)
    with pytest.raises(InputError, match="tdp_eager_416; choose fewer vCPUs"):
        check_threads(PROFILES["tdp_eager_416"], 417)
