"""Progress: what a history says about states, their times, and what is waited for."""

from datetime import datetime, timedelta

from local import progress
from mta_sts.visits import last_checks, steps
from tests.unit.demo_cases import GONE_AT, LOOP, NOW, PENDING, READY, history


def test_states_are_told_with_times_findings_and_what_is_waited_for() -> None:
    visits = steps(LOOP)
    assert [each.name for each in visits] == ["Check", "Wait For", "Check", "Wait Out TTL"]
    first, loop, second, last = visits
    assert (first.pending, first.found) == (True, "not yet: ns-2.example (127.0.0.2)")
    assert first.lasted(NOW) == timedelta(seconds=1)
    assert loop.until == NOW + timedelta(seconds=3)
    assert loop.found == first.found
    assert (second.pending, second.found) == (False, "1 answer agrees")
    assert (last.ended, last.until) == (None, datetime.fromisoformat(GONE_AT))
    assert last.found == ""
    assert last.lasted(NOW + timedelta(seconds=5)) == timedelta(seconds=1.5)


def test_rounds_of_a_loop_are_one_line_that_settles_when_the_loop_is_left() -> None:
    merged = progress.lines(steps(LOOP))
    assert [(each.latest.name, each.visits) for each in merged] == [
        ("Check", 2),
        ("Wait For", 1),
        ("Wait Out TTL", 1),
    ]
    assert merged[0].lasted(NOW) == timedelta(seconds=1.5)
    assert progress.settled(merged) == 0  # "Wait Out TTL" might belong to the loop
    after = history(
        (5, "Wait", "StateExited", ("Wait Out TTL", READY)),
        (5, "Parallel", "StateEntered", ("Confirm", READY)),
    )
    assert progress.settled(progress.lines(steps(LOOP + after))) == 3


def test_a_caught_error_and_the_end_of_a_failed_run_are_told_as_failures() -> None:
    visits = steps(
        history(
            (0, "Task", "StateEntered", ("Check Host", {})),
            (
                1,
                "Task",
                "StateExited",
                ("Check Host", {"Error": "PolicyNotServedError", "Cause": ""}),
            ),
            (1, "Fail", "StateEntered", ("Failed", {})),
            (1, "ExecutionFailed", "", None),
        )
    )
    assert [(each.failed, each.found) for each in visits] == [
        (True, "PolicyNotServedError"),
        (True, ""),
    ]
    assert all(each.ended for each in visits)


HOST = {"host": "mta-sts.example", "agreeing": [], "laggards": []}
WRITTEN = history((0, "Task", "StateExited", ("Publish", {"published_at": GONE_AT})))


def test_the_latest_result_of_each_check_is_found_within_parallel_branches_too() -> None:
    confirmed = history((9, "Parallel", "StateExited", ("Confirm", [READY, HOST])))
    checks = last_checks([*WRITTEN, *LOOP, *confirmed])
    assert checks == {"record": READY, "policy": HOST}


def test_a_check_of_before_the_write_says_so() -> None:
    before = history((0, "Task", "StateExited", ("Check Host", HOST)))
    checks = last_checks([*before, *WRITTEN, *LOOP])
    assert checks == {"record": READY, "policy": HOST | {"before_write": True}}


def test_a_parallel_state_does_not_settle_before_its_branches() -> None:
    visits = steps(
        history(
            (0, "Parallel", "StateEntered", ("Confirm", {})),
            (0, "Task", "StateEntered", ("Check Record", {})),
            (1, "Task", "StateExited", ("Check Record", READY)),
            (1, "Task", "StateEntered", ("Check Policy", {})),
        )
    )
    assert progress.settled(progress.lines(visits)) == 0


def round_of(second: int, output: object) -> list[dict[str, object]]:
    """Make one look of a loop, a second long, and the Wait of a second after it."""
    return history(
        (second, "Task", "StateEntered", ("Check", {})),
        (second + 1, "Task", "StateExited", ("Check", output)),
        (second + 1, "Wait", "StateEntered", ("Wait For", PENDING)),
        (second + 2, "Wait", "StateExited", ("Wait For", PENDING)),
    )


def told(events: list[dict[str, object]], *, over: bool) -> list[tuple[str, int, float]]:
    """Return of each telling which state, how many looks, and from which second on."""
    tellings = progress.tellings(steps(events), over=over)
    assert len({each.key for each in tellings}) == len(tellings)
    return [(each.step.name, each.looks, (each.since - NOW).total_seconds()) for each in tellings]


def test_looks_that_find_nothing_are_told_by_the_first_and_then_in_one() -> None:
    looks = [event for second in (0, 2, 4, 6) for event in round_of(second, PENDING)]
    first = [("Check", 1, 0.0), ("Wait For", 1, 1.0)]
    between = [("Check", 3, 2.0)]
    assert told(looks, over=False) == first
    assert told(looks, over=True) == first + between
    # What is told stays told, in its place, whatever comes: the thing is there, …
    there = looks + history(
        (8, "Task", "StateEntered", ("Check", {})), (9, "Task", "StateExited", ("Check", READY))
    )
    assert told(there, over=False) == [*first, *between, ("Check", 1, 8.0)]
    # … or the run goes elsewhere.
    elsewhere = looks + history((8, "Task", "StateEntered", ("Record Failure", {})))
    assert told(elsewhere, over=False) == first + between


def test_a_look_that_finds_something_is_told_for_itself() -> None:
    assert told(LOOP, over=True) == [
        ("Check", 1, 0.0),
        ("Wait For", 1, 1.0),
        ("Check", 1, 3.0),
        ("Wait Out TTL", 1, 3.5),
    ]
