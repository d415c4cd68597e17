"""The lists of names in a Recording equal the constants of the engine, which the schema may not import."""

from __future__ import annotations

from mmuviz.engine import clock as layout
from mmuviz.mmu import events, examples, state
from mmuviz.recording import schema


def test_causes_paths_and_places_are_the_clock_s() -> None:
    assert schema.CAUSES == layout.CAUSE_NAMES
    assert schema.FAULT_PATHS == layout.FAULT_PATHS
    assert schema.SPLIT_PLACES == layout.SPLIT_PLACES


def test_kinds_of_examples_are_the_machine_s() -> None:
    assert ("none", *examples.EXAMPLE_NAMES) == schema.EXAMPLE_KINDS
    assert len(examples.EXAMPLE_NAMES) == examples.EXAMPLES


def test_kinds_of_events_and_bits_of_entries_are_the_machine_s() -> None:
    names = ("spte", "split", "fault", "fast", "cpu_dirty", "dirty_log", "initial_state")
    for name in names:
        assert schema.EVENT_KINDS.index(name) == getattr(events, name.upper())
    assert (schema.PRESENT, schema.WRITABLE, schema.TABLE) == (state.PRESENT, state.WRITABLE, state.TABLE)
