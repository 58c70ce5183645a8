"""Progress: what a history says about states, their times, and what is waited for."""

from datetime import datetime, timedelta

from local import progress
from tests.unit.demo_cases import GONE_AT, LOOP, NOW, READY, history


def test_states_are_told_with_times_findings_and_what_is_waited_for() -> None:
    visits = progress.steps(LOOP)
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
    merged = progress.lines(progress.steps(LOOP))
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
    assert progress.settled(progress.lines(progress.steps(LOOP + after))) == 3


def test_a_caught_error_and_the_end_of_a_failed_run_are_told_as_failures() -> None:
    visits = progress.steps(
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


def test_the_latest_result_of_each_check_is_found_within_parallel_branches_too() -> None:
    host = {"host": "mta-sts.example", "agreeing": [], "laggards": []}
    checks = progress.last_checks(
        [*LOOP, *history((9, "Parallel", "StateExited", ("Confirm", [READY, host])))]
    )
    assert checks == {"record": READY, "policy": host}


def test_a_parallel_state_does_not_settle_before_its_branches() -> None:
    visits = progress.steps(
        history(
            (0, "Parallel", "StateEntered", ("Confirm", {})),
            (0, "Task", "StateEntered", ("Check Record", {})),
            (1, "Task", "StateExited", ("Check Record", READY)),
            (1, "Task", "StateEntered", ("Check Policy", {})),
        )
    )
    assert progress.settled(progress.lines(visits)) == 0
