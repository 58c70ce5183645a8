"""Who may still hold what, by a check: moving mail, what is attested, and the end of a drain."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.checks.sight import Sight
from mta_sts.errors import InvalidRequestError
from mta_sts.instants import stamp
from mta_sts.observed import Version
from mta_sts.policy_check import Fetched
from tests.unit.plans import ENFORCE, NONE, NOT_FOUND, NOW, SILENT, policy
from tests.unit.sights import (
    ALL_OFF,
    GONE_AT,
    OURS,
    PUBLISHED,
    codes,
    deleted,
    draining,
    item,
    none_object,
    outcome,
    request,
    said,
    served,
    sight,
    versions,
    watch,
)

NEVER = sight(None, ())
TESTING = policy("testing")


def published_and_deleted(*fetched: Fetched) -> Sight:
    """A drain after delete-record with publish_none."""
    kept = deleted().item
    assert kept
    kept["moments"].update(published_at=stamp(PUBLISHED), caches_fresh_at=stamp(PUBLISHED))
    told = {**kept, "policy_sha256": none_object().sha256, "ours": {"ids": [""]}}
    history = versions(ENFORCE, NONE, last=PUBLISHED)
    return sight(NONE, (), *fetched, stored=none_object(), history=history, item=told)


def test_a_deletion_that_published_none_needs_none_until_the_end() -> None:
    told = outcome(published_and_deleted(served(NONE)))
    assert (told["state"], told["alarms"]) == ("off", [])
    assert told["all_off_at"] == stamp(ALL_OFF)
    assert outcome(published_and_deleted(NOT_FOUND))["alarms"] == ["none-not-served"]


def test_who_is_to_be_retired_is_told_until_when_the_host_is_needed() -> None:
    at = ALL_OFF + timedelta(days=3)
    due = {"retirement": {"at": stamp(at), "request": {}}}
    retiring = draining(item=item(due=due, due_at=stamp(at)))
    until = f"until the record goes by itself ({stamp(at)})"
    assert until in outcome(retiring)["answers"]["trouble"]["next"]
    assert "by itself" not in outcome(draining())["answers"]["trouble"]["next"]


def test_a_policy_that_came_back_for_a_moment_is_held_until_another_id() -> None:
    """Who fetched it renews it on the id of the run, and none that is served since reaches nobody."""
    turned_off = versions(ENFORCE, NONE, last=PUBLISHED)
    back = Version("v3", PUBLISHED + timedelta(minutes=1), ENFORCE)
    again = Version("v4", PUBLISHED + timedelta(minutes=2), NONE)
    history = replace(turned_off, versions=(*turned_off.versions, back, again))
    told = outcome(draining(history=history))
    assert "policy-came-back" in told["alarms"]
    assert told["all_off_at"] is None or told["all_off_at"] > stamp(NOW)
    assert not told["over"]
    [found] = [one for one in told["findings"] if one["code"] == "policy-came-back"]
    assert "change-id" in found["next"]
    assert "policy-came-back" not in outcome(draining())["alarms"]


RETIRING = {"retirement": {"at": stamp(ALL_OFF), "request": {"remove_policy": True}}}
WINDOW = {"restore": {"at": stamp(ALL_OFF), "request": {}}}


@pytest.mark.parametrize(
    ("more", "again"),
    [
        ({}, "send none-policy again: it writes none, proves it and publishes a fresh id"),
        ({"due": RETIRING}, "send retire again, with remove_policy: true: it writes none, "),
        ({"due": WINDOW}, f"send none-policy again, with restore_at: {stamp(ALL_OFF)}: it writes"),
    ],
)
def test_while_a_policy_that_came_back_is_served_no_fresh_id_is_asked_for(
    more: dict[str, Any], again: str
) -> None:
    """Change-id would announce the policy that is there."""
    turned_off = versions(ENFORCE, NONE, last=PUBLISHED)
    back = Version("v3", PUBLISHED + timedelta(minutes=1), ENFORCE)
    history = replace(turned_off, versions=(*turned_off.versions, back))
    there = none_object(body=ENFORCE, version_id="v3")
    seen = draining(served(ENFORCE), history=history, stored=there, item=item(**more))
    told = outcome(seen)
    assert {"policy-came-back", "none-not-served", "object-changed"} <= set(told["alarms"])
    assert told["answers"]["trouble"]["next"].startswith(again)
    assert "change-id" not in "".join(one["next"] for one in told["findings"])
    # Put right in S3, and the host is broken.
    mended = draining(NOT_FOUND, history=history, item=item(**more))
    [found] = [one for one in outcome(mended)["findings"] if one["code"] == "policy-came-back"]
    assert found["next"].startswith("mend the policy host; once it serves none everywhere, send ch")


class TestMoving:
    def test_an_enforced_policy_that_names_every_new_host(self) -> None:
        told = outcome(sight(), request(new_mx=["mail.solarmora.com"]))["answers"]["mx"]
        assert (told["answer"], told["from"]) == ("now", stamp(NOW))

    def test_an_enforced_policy_that_does_not(self) -> None:
        told = outcome(sight(), request(new_mx=["mx.new.example"]))["answers"]["mx"]
        assert told["answer"] == "now with overlap"
        assert told["without_overlap_from"] is None
        now, _, later, better = told["choices"]
        assert "mx.new.example is not named by version v1" in now["reason"]
        assert not later["holds"]
        assert better["holds"]

    def test_an_older_version_counts_as_long_as_its_id_stands(self) -> None:
        """It was replaced a year ago, but nothing is on record that ended its id."""
        older = versions(policy("enforce", "mx.old.example"), ENFORCE)
        told = outcome(sight(history=older), request(new_mx=["mail.solarmora.com"]))
        (now, *_) = told["answers"]["mx"]["choices"]
        assert not now["holds"]
        assert "mail.solarmora.com is not named by version v1" in now["reason"]
        assert "version v1 (mode enforce" in told["text"]

    def test_in_mid_drain_as_the_run_has_said(self) -> None:
        told = outcome(draining(), request(new_mx=["mx.new.example"]))
        assert told["all_off_at"] == stamp(ALL_OFF)
        assert told["answers"]["mx"]["without_overlap_from"] == stamp(ALL_OFF)
        assert not told["answers"]["mx"]["choices"][3]["holds"]
        assert told["if_turned_off_now"] is None

    def test_what_none_policy_would_come_to(self) -> None:
        told = outcome(sight())
        assert told["all_off_at"] is None
        week_and_ttl = NOW + timedelta(days=7, seconds=3600)
        assert told["if_turned_off_now"]["all_off_at"] == stamp(week_and_ttl)
        assert told["if_turned_off_now"]["conforming_off_at"] == stamp(NOW + timedelta(hours=1))

    def test_in_mid_drain_an_id_change_of_before_ends_what_came_before_it(self) -> None:
        """As the run has seen it: what was replaced before an earlier change of the id counts from then."""
        ten_days, day = policy("enforce", max_age=864_000), timedelta(days=1)
        changed = NOW - 8 * day
        earlier = {"id": "1", "old": "0", "at": stamp(changed), "gone_at": stamp(changed)}
        whole = versions(ten_days, policy(max_age=60), NONE, last=PUBLISHED)
        v1, v2, v3 = whole.versions
        history = replace(whole, versions=(v1, replace(v2, since=NOW - 9 * day), v3))
        changes = [{**item()["id_changes"][0], **earlier}, *item()["id_changes"]]
        told = outcome(draining(history=history, item=item(id_changes=changes)))
        assert told["all_off_at"] == stamp(changed + 10 * day)

    @pytest.mark.parametrize("seen", [sight(TESTING), draining(served(ENFORCE))])
    def test_the_better_way_is_open_only_while_a_policy_is_enforced(self, seen: Sight) -> None:
        assert not outcome(seen)["answers"]["mx"]["choices"][3]["holds"]

    def test_in_mid_drain_with_a_silent_address_nothing_is_sure(self) -> None:
        silent = replace(SILENT, address="192.0.2.2")
        told = outcome(draining(served(NONE), silent))["answers"]["mx"]
        assert (told["confidence"], told["without_overlap_from"]) == ("unknown", None)

    def test_after_a_deletion_that_published_none_another_policy_has_no_end(self) -> None:
        told = outcome(published_and_deleted(served(ENFORCE)))
        assert told["alarms"] == ["none-not-served"]
        assert told["answers"]["mx"]["without_overlap_from"] is None

    def test_a_domain_of_which_nothing_is_known_may_move(self) -> None:
        told = outcome(NEVER)["answers"]["mx"]
        assert (told["answer"], told["confidence"]) == ("now", "unknown")


class TestAttested:
    YOUNG = versions(ENFORCE, last=NOW - timedelta(days=30))

    def unknown(self, **more: Any) -> Sight:
        """A drain of a domain whose versions reach back a month only."""
        history = replace(
            versions(ENFORCE, NONE, last=none_object().last_modified),
            known_since=NOW - timedelta(days=30),
        )
        return draining(history=history, **more)

    def test_a_year_stands_for_what_nobody_knows(self) -> None:
        told = outcome(self.unknown())
        assert told["all_off_at"] > stamp(NOW + timedelta(days=300))
        assert told["known_off_at"] == stamp(ALL_OFF)
        assert told["answers"]["mx"]["confidence"] == "unknown"

    def test_the_callers_word(self) -> None:
        told = outcome(self.unknown(), request(longest_max_age=604_800))
        assert told["all_off_at"] == stamp(ALL_OFF)
        assert told["answers"]["mx"]["confidence"] == "attested"

    def test_the_word_that_the_run_was_given(self) -> None:
        kept = item(attested={"longest_max_age": 604_800, "ids_changed_since": None})
        assert outcome(self.unknown(item=kept))["all_off_at"] == stamp(ALL_OFF)

    def test_a_word_that_is_not_so_is_refused(self) -> None:
        with pytest.raises(InvalidRequestError, match="longest_max_age says 60, but the policy v1"):
            outcome(sight(), request(longest_max_age=60))

    def test_but_not_to_the_watch_which_has_to_tell_what_is_wrong(self) -> None:
        asked = replace(watch(), longest_max_age=60)
        assert outcome(draining(served(ENFORCE)), asked)["alarms"] == ["none-not-served"]


class TestDrained:
    LATER = ALL_OFF + timedelta(seconds=1)

    def told(self, seen: Sight) -> dict[str, Any]:
        return outcome(replace(seen, now=self.LATER), watch("drained", at=stamp(ALL_OFF)))

    def test_it_is_over(self) -> None:
        told = self.told(draining())
        first, second, *_ = told["text"].split("\n")
        assert first == (
            "MTA-STS is off for solarmora.com: the drain is over, and no sender holds an older policy any"
            " more."
        )
        assert second.startswith("Mail is not at risk. Next: the MX records may change freely")
        assert "restore turns MTA-STS on again" in second
        assert told["subject"] == "MTA-STS is off for solarmora.com, the drain is over"
        assert told["answers"]["mx"]["answer"] == "now"
        assert told["alarms"] == []
        assert told["superseded"] is False

    def test_after_a_deletion_nothing_is_left_to_be_done(self) -> None:
        assert (
            "Nobody needs mta-sts.solarmora.com for MTA-STS any more."
            in (self.told(deleted())["text"].split("\n")[1])
        )

    def test_it_is_not_over_by_what_is_known_now(self) -> None:
        young = replace(
            versions(ENFORCE, NONE, last=none_object().last_modified), known_since=GONE_AT
        )
        told = self.told(draining(history=young))
        assert "The drain is not over yet." in told["text"].split("\n")[0]
        assert "over" not in told["subject"]

    def test_one_that_was_disturbed_is_told_as_that(self) -> None:
        told = self.told(draining(served(ENFORCE)))
        assert told["state"] != "off"
        assert "over" not in told["subject"]

    def test_one_that_a_restore_has_cancelled_is_superseded(self) -> None:
        told = outcome(
            sight(item=item(phase="on", due={}, generation=4)),
            watch("drained", at=stamp(ALL_OFF)),
        )
        assert (told["state"], told["superseded"]) == ("on", True)


def test_one_name_server_with_another_id_is_not_what_was_announced() -> None:
    answers = (said(OURS), said("v=STSv1; id=9;", server="ns2.example"))
    over = item(all_off_at=stamp(GONE_AT), due={})
    told = outcome(draining(answers=answers, item=over))
    assert (told["state"], told["alarms"]) == ("half changed", [])


def test_after_a_retirement_nothing_is_left() -> None:
    gone = deleted().item
    assert gone
    told = outcome(
        sight(None, (), item={**gone, "phase": "retired", "due": {}, "all_off_at": stamp(GONE_AT)})
    )
    assert told["state"] == "off"
    assert f"hold no policy since {stamp(GONE_AT)}" in told["text"]
    assert codes(told, "alarm", "warning") == set()
