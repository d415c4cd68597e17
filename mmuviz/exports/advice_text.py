"""Advice for a migration as a table for a mail: ASCII, at most 72 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mmuviz.core.errors import one_line
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.units import rate_text as bandwidth_text
from mmuviz.engine.choices.units import size_text
from mmuviz.engine.choices.units import time_text as limit_text
from mmuviz.engine.drivers.migrates import Migrates
from mmuviz.exports.migration_text import lost_cause, verdict
from mmuviz.exports.setup_text import in_all, number, scenario_text
from mmuviz.exports.summary import accesses_per_second
from mmuviz.recording.quantities import bytes_text, rate_text, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.studies.advice import Candidate, NotRun, Refused
from mmuviz.studies.convergence import cancelled, converges, lost_pages, switched
from mmuviz.studies.remedies import (
    AUTO_CONVERGE,
    BANDWIDTH,
    BOTH,
    DIRTY_LIMIT,
    DOWNTIME_LIMIT,
    MULTIFD,
    NO_CANCEL,
    Remedy,
)
from mmuviz.studies.sending_speed import channels_of

COLUMNS: Final = 72
WIDTHS: Final = (16, 7, 5, 9, 9, 9, 7, 10)
HEADS: Final = ("policy", "CLEAR", "ends", "time", "downtime", "stall", "again", "memory")
LEGEND: Final = (
    "CLEAR: what one covers. ends: what was left fitted the downtime limit. time: of the whole migration. stall: of "
    "all vCPUs. again: bytes sent not for the first time, of all. memory: of KVM, page tables added and all else. "
    "* the scenario as it stands."
)
CUT: Final = "cut"
POST: Final = "post"
OTHER_ENDS: Final = {
    CUT: "cut: cancelled (driver.cancel_at) before that was known.",
    POST: "post: went over to post-copy, which ends however much is written.",
}
LOST: Final = "lost"
LOST_LEGEND: Final = "lost: it ends, but pages are lost, see below."
AS_GOOD: Final = 1.01
"""A candidate whose value is at most this many times the best one counts as equal: the model is not more exact."""
NONE_ENDS: Final = {
    "no": "converges: none makes the guest write less, and none makes the link faster.",
    CUT: "converges before the migration is cancelled (driver.cancel_at).",
    POST: "converges before the migration goes over to post-copy.",
}
Tried = tuple[Candidate, Recording]


def memory_bytes(recording: Recording) -> int:
    """Return the bytes of page tables added since logging was enabled and of all other memory of KVM's MMU."""
    totals = recording.totals
    return int(totals["table_bytes_added"] + sum(totals["memory_bytes"].values()))


def took(recording: Recording) -> dict[str, int]:
    """Return the quantities by which candidates are compared: times in ns, memory in bytes."""
    totals = recording.totals
    return {
        "stall_ns": totals["stall_total_ns"],
        "total_ns": totals["migration"]["total_ns"],
        "downtime_ns": totals["migration"]["downtime_ns"],
        "memory_bytes": memory_bytes(recording),
    }


BEST: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "stall_ns": ("Least stall of all vCPUs", time_text),
    "total_ns": ("Shortest migration", time_text),
    "downtime_ns": ("Shortest downtime", time_text),
    "memory_bytes": ("Least memory of KVM", bytes_text),
}
ENDS: Final = ("total_ns", "downtime_ns")
"""Quantities that are compared only among migrations that converge."""


def best_of(tried: Sequence[Tried]) -> dict[str, list[int]]:
    """Find the best candidates by each quantity, among those that converge and lose no page.

    If no candidate converges, all that lose no page are compared, by stall and memory only.

    Args:
        tried: candidates and their runs.

    Returns:
        Key of took() -> indices in `tried` of all candidates that are as good as the best one.
    """
    whole = [at for at, (_, recording) in enumerate(tried) if not lost_pages(recording)]
    ends = [at for at in whole if converges(tried[at][1])]
    some_end = any(converges(recording) for _, recording in tried)
    found = {}
    for name in BEST:
        among = ends or ([] if some_end or name in ENDS else whole)
        values = {at: took(tried[at][1])[name] for at in among}
        found[name] = [at for at in among if values[at] <= min(values.values()) * AS_GOOD]
    return found


@dataclass
class Advice:
    """What is known so far: candidates are added as they finish.

    Attributes:
        scenario: the migration that advice is given for.
        tried: candidates and their runs.
        not_run: candidates that were not run, with the reason.
        refused: policies that the scenario does not allow.
        remedies: changes of a scenario that does not converge, and their runs.
        open_kinds: kinds of change for which it is not known yet whether they help.
        notes: sentences on what was run.
    """

    scenario: Scenario
    tried: list[Tried] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    remedies: list[Remedy] = field(default_factory=list)
    open_kinds: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def own(self) -> Recording | None:
        """The Recording of the scenario as it stands; None if it was not run."""
        return next((recording for candidate, recording in self.tried if candidate.own), None)


# The text, in the order in which it is printed: every part but the rows begins with an empty line.


def head_text(advice: Advice, candidates: Sequence[Candidate]) -> str:
    """Write the question, the guest and the head of the table.

    Args:
        advice: for its scenario.
        candidates: all candidates, one or more.

    Returns:
        ASCII lines of at most 72 columns.
    """
    scenario = advice.scenario
    setup = in_all([scenario_text(each.scenario) for each in candidates]) + network_text(scenario)
    blocks = [
        wrapped(scenario.title),
        wrapped(", ".join(setup)),
        *(wrapped(note) for note in advice.notes),
        [row_of(HEADS)],
    ]
    return _joined(blocks)


def network_text(scenario: Scenario) -> list[str]:
    """Describe how a migration is sent."""
    driver = scenario.driver
    if not isinstance(driver, Migrates):
        return []
    limit, channels = getattr(driver, "bandwidth", driver.link), channels_of(driver)
    return [
        f"link {bandwidth_text(driver.link)}",
        *([f"bandwidth limit {bandwidth_text(limit)}"] if limit < driver.link else []),
        *([f"{channels} multifd channels"] if channels else []),
        f"downtime limit {limit_text(driver.downtime_limit)}",
    ]


def row_text(candidate: Candidate, recording: Recording) -> str:
    """Write the row of a candidate that was run."""
    return ascii_only(row_of(cells_of(candidate, recording))) + "\n"


def end_text(advice: Advice) -> str:
    """Write what follows the rows of candidates that were run, up to the changes that would help.

    Args:
        advice: no run of a candidate is missing that is not in `not_run`.

    Returns:
        ASCII lines of at most 72 columns: rows of candidates that were not run, the legend, the best, and reasons.
    """
    cells = {ends_text(recording) for _, recording in advice.tried}
    legend = " ".join([LEGEND, *(text for name, text in OTHER_ENDS.items() if name in cells)])
    lost = lost_text(advice)
    if lost:
        legend += f" {LOST_LEGEND}"
    rows = [ascii_only(row_of((*_names(each.candidate), *[""] * 6)).rstrip() + "  not run") for each in advice.not_run]
    blocks = [
        wrapped(legend),
        wrapped(lost),
        list(best_lines(advice.tried, [each.candidate for each in advice.not_run])),
        list(_reasons("Not run", [(label_of(each.candidate), each.why) for each in advice.not_run])),
        list(_reasons("Not to be had", [(each.policy, each.why) for each in advice.refused])),
        list(own_lines(advice)),
    ]
    return "".join(f"{row}\n" for row in rows) + "\n" + _joined(blocks)


def remedy_block(remedy: Remedy) -> str:
    """Write one change of the scenario, as lines."""
    return _joined([wrapped(f"  {remedy.name}: {remedy_text(remedy)}")])


def last_text(advice: Advice) -> str:
    """Write what ends the text: kinds of change that were not tried to the end, and notes of the runs."""
    left = f"Not known yet whether it helps: {', '.join(advice.open_kinds)}." if advice.open_kinds else ""
    notes = dict.fromkeys(note for _, each in advice.tried for note in each.header.notes)
    blocks = [block for block in ([*wrapped(left)], [line for note in notes for line in wrapped(note)]) if block]
    return "\n" + _joined(blocks) if blocks else ""


def _joined(blocks: Iterable[Sequence[str]]) -> str:
    return ascii_only("\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n")


def cells_of(candidate: Candidate, recording: Recording) -> tuple[str, ...]:
    """Make the cells of a candidate's row, in the columns of HEADS."""
    found, sent = took(recording), recording.totals["migration"]
    return (
        *_names(candidate),
        LOST if lost_pages(recording) else ends_text(recording),
        time_text(found["total_ns"]),
        time_text(found["downtime_ns"]) if converges(recording) else "-",
        time_text(found["stall_ns"]),
        share_text(sent["resent_pages"], sent["pages_sent"]),
        bytes_text(found["memory_bytes"]),
    )


def _names(candidate: Candidate) -> tuple[str, str]:
    return candidate.policy + ("*" if candidate.own else ""), chunk_text(candidate)


def ends_text(recording: Recording) -> str:
    """Say in a word whether a migration ends by itself."""
    if converges(recording):
        return "yes"
    return CUT if cancelled(recording) else POST if switched(recording) else "no"


def row_of(cells: Iterable[str]) -> str:
    """Format a row of the table: the policy aligned left, numbers aligned right."""
    first, *rest = zip(cells, WIDTHS, strict=True)
    return first[0].ljust(first[1]) + "".join(cell.rjust(width) for cell, width in rest)


def best_lines(tried: Sequence[Tried], not_run: Sequence[Candidate]) -> Iterator[str]:
    """Write one line per quantity, as `compare` does, with all candidates that are as good as the best one."""
    every = [*(candidate for candidate, _ in tried), *not_run]
    ends = [candidate for candidate, recording in tried if converges(recording)]
    if tried and not ends:
        who = "None of those that were run" if not_run else "No policy"
        yield from wrapped(f"{who} {NONE_ENDS[ends_text(tried[0][1])]}")
    whole = [recording for _, recording in tried if not lost_pages(recording)]
    for name, places in best_of(tried).items():
        if places:
            title, text = BEST[name]
            value = text(min(took(tried[at][1])[name] for at in places))
            same = len(places) == (len(ends) or len(tried)) > 1 and len(whole) == len(tried)
            who = "all the same" if same else label([tried[at][0] for at in places], every)
            yield from wrapped(f"{title}: {who} ({value})")


def label(some: Sequence[Candidate], every: Sequence[Candidate]) -> str:
    """Name candidates in a sentence; a policy is named without chunk sizes if all its sizes are among them.

    Args:
        some: candidates to name.
        every: all candidates.
    """
    parts = []
    for policy in dict.fromkeys(each.policy for each in some):
        mine = [each for each in some if each.policy == policy]
        whole = len(mine) == sum(each.policy == policy for each in every)
        sizes = ", ".join(chunk_text(each) for each in mine)
        parts.append(policy if whole else f"{policy} by {sizes}")
    return "; ".join(parts)


def chunk_text(candidate: Candidate) -> str:
    """Return the memory that one CLEAR covers, a power of two, as text; "-" if the policy issues no CLEAR."""
    return "-" if candidate.chunk_bytes is None else size_text(candidate.chunk_bytes)


def label_of(candidate: Candidate) -> str:
    """Name a candidate in a sentence."""
    return candidate.policy if candidate.chunk_bytes is None else f"{candidate.policy} by {chunk_text(candidate)}"


def _reasons(title: str, named: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Write names and reasons, grouped by reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in named:
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        yield from wrapped(f"{title}: {', '.join(names)}: {why}")


def lost_text(advice: Advice) -> str:
    """Name the candidates that lose pages, and write why; empty if there are none."""
    lost = {label_of(candidate): lost_pages(each) for candidate, each in advice.tried if lost_pages(each)}
    if not lost:
        return ""
    names = ", ".join(f"{name} ({number(pages, 'page')})" for name, pages in lost.items())
    cause = lost_cause(advice.tried[0][1].header.versions.kernel)
    return f"Left out below, as pages are lost: {names}. Such pages are {cause}."


def own_lines(advice: Advice) -> Iterator[str]:
    """Write why the scenario does not converge as it stands, before the changes that would help."""
    own = advice.own
    ended = None if own is None else own.header.migration
    if own is None:
        yield from wrapped("The scenario as it stands (*) was not run, so that nothing is known of what would help it.")
    if own is None or ended is None or converges(own):
        return
    yield from wrapped(f"As it stands it {'is ' if cancelled(own) else ''}{verdict(own, ended)}.")
    if advice.open_kinds:
        yield from wrapped("What would make it converge, the smallest of each kind:")


def remedy_text(remedy: Remedy) -> str:
    """Write the effect and the price of a change."""
    if remedy.recording is None:
        return f"{remedy.change} was not run: {remedy.why}"
    if lost_pages(remedy.recording):
        return f"{remedy.change} is of no use: it ends, but loses {number(lost_pages(remedy.recording), 'page')}"
    if not remedy.works:
        ended = remedy.recording.header.migration
        outcome = "" if ended is None else f": {verdict(remedy.recording, ended)}"
        return f"{remedy.change} is not enough{outcome}{f' ({remedy.why})' if remedy.why else ''}"
    found = took(remedy.recording)
    return (
        f"{remedy.change}: {time_text(found['total_ns'])} in all, downtime {time_text(found['downtime_ns'])}, stall "
        f"{time_text(found['stall_ns'])}, {rate_text(accesses_per_second(remedy.recording))} guest accesses; price: "
        f"{price_text(remedy.name, remedy.recording)}"
    )


def price_text(name: str, recording: Recording) -> str:
    """Write what a change costs, in a phrase.

    Args:
        name: the kind of change.
        recording: the run with it.
    """
    sent, driver = recording.totals["migration"], recording.header.document()["scenario"]["driver"]
    rate = bandwidth_text(min(driver["link"], driver.get("bandwidth", driver["link"])))
    network = f"a network that gives the migration {rate}"
    threads = f"{number(driver.get('multifd_channels', 0), 'thread')} of the host that copy"
    slept = share_text(sent["throttled_ns"], recording.header.vcpus * sent["total_ns"])
    prices = {
        BANDWIDTH: network,
        MULTIFD: threads,
        BOTH: f"{network}, and {threads}",
        DOWNTIME_LIMIT: f"the guest stands still for {time_text(sent['downtime_ns'])}",
        AUTO_CONVERGE: f"vCPUs sleep for up to {sent['throttle_percent']} % of their time",
        DIRTY_LIMIT: f"vCPUs sleep for {slept} of the migration",
        NO_CANCEL: "the migration goes on for longer",
    }
    return prices.get(name) or _price_of_postcopy(sent.get("postcopy"))


def _price_of_postcopy(rest: Mapping[str, Any] | None) -> str:
    if not rest or not rest["faults_4k"]:
        return "none, as nothing was left at the switch"
    faults = f"{number(rest['faults_4k'], 'fault')} of {time_text(rest['fault_4k_ns'])} each"
    return f"at most {faults} at the destination, and no way back once it has switched"


def wrapped(text: str) -> list[str]:
    """Wrap a paragraph; the indentation of its first line is kept."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        ascii_only(one_line(text.strip())),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + ("    " if indent else ""),
        break_on_hyphens=False,
    )


def ascii_only(text: str) -> str:
    """Convert text to ASCII: a micro sign to u, other characters outside ASCII to question marks."""
    return text.replace("\u00b5", "u").encode("ascii", "replace").decode("ascii")
