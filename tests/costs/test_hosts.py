"""Hosts larger than any that was measured say so, and no host takes more vCPUs than it has threads."""

from __future__ import annotations

import pytest

from mmuviz.costs.hosts import MEANING, MEASURED, PROFILES, HostProfile


@pytest.mark.parametrize("name", ["tdp_eager", "split_on_fault"])
def test_a_host_of_416_threads_is_extrapolated(name: str) -> None:
    large, small = PROFILES[f"{name}_416"], PROFILES[name]
    assert (large["cpus"], large["cores"], large["socket_cores"], large["sockets"]) == (416, 208, 26, 8)
    assert large["socket_cores"] * large["sockets"] == large["cores"]
    assert large.extrapolated
    assert large.description.startswith("extrapolated:")
    assert "assumption" in large.description
    changed = {each for each in small.values if small[each] != large[each]}
    assert all(each in large.description for each in changed)
    assert not changed & set(large.fitted)
    assert not any(each.extrapolated for each in MEASURED.values())


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_constant_is_plausible(profile: HostProfile) -> None:
    for name, (_, low, high, _) in MEANING.items():
        assert low <= profile[name] <= high
