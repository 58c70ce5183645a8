"""What a real sender does while MTA-STS is turned off, and that no moment in the outcome is too early.

The sender has the policy cached before each run, and has mail for the domain all the time. A method
that takes several runs (`retire`) is watched the same way, from before the first until the record is
gone: `assert_off` with the first one's `conforming_off_at`.
"""

from datetime import UTC, datetime, timedelta

import pytest

from local.lab import Lab
from local.runs import Run
from mta_sts.instants import instant
from tests.senders.sender import Sender, Watch
from tests.workflow.scene import POLICY, RECORD, add

SECURE = "OK secure match=mail.example.net servername=hostname"
MAX_AGE = 10  # seconds; longer than it takes from the record's end to that of the run


def moment(run: Run, name: str) -> datetime:
    """Return a moment of a run that succeeded, from its outcome or from what was seen in it."""
    assert (run.status, run.error) == ("SUCCEEDED", None), run.cause
    return instant((run.output["moments"] | run.output)[name])


def assert_off(watch: Watch, since: datetime) -> None:
    """Wait for SINCE to come; assert that mail was bound by the policy at first, and none after that."""
    watch.until(since + timedelta(seconds=2))
    assert watch.looks[0].secure
    assert watch.last_secure <= since


def test_a_domain_without_a_record_is_none_of_its_affair(lab: Lab, sender: Sender) -> None:
    lab.add_domain("never.example", policies=[POLICY], record=None, ttl=2)
    assert not sender.secure("never.example")


def test_none_policy_lets_mail_go_although_a_policy_is_cached(lab: Lab, sender: Sender) -> None:
    domain = "none.example"
    add(lab, domain)
    assert sender.ask(domain).answer == SECURE
    with Watch(sender, domain) as watch:
        run = lab.run({"domain": domain, "method": "none-policy"})
        ended = datetime.now(UTC)
        assert_off(watch, min(moment(run, "conforming_off_at"), ended))
    # Whatever it remembered of DNS has ended.
    assert not sender.looked(domain).secure


@pytest.mark.parametrize(
    ("publish_none", "off_at"),
    [
        # Other senders renew over HTTPS alone, so that there is no `all_off_at`; not this one.
        pytest.param(False, "needing_record_off_at", id="record-alone"),
        pytest.param(True, "all_off_at", id="publish-none"),
    ],
)
def test_delete_record_lets_mail_go_when_the_cached_policy_ends(
    lab: Lab, sender: Sender, *, publish_none: bool, off_at: str
) -> None:
    domain = f"delete-{publish_none}.example".lower()
    short = POLICY.replace("604800", str(MAX_AGE))
    lab.add_domain(domain, policies=[short], record=[RECORD], ttl=2)
    assert sender.ask(domain).answer == SECURE
    with Watch(sender, domain) as watch:
        request = {"domain": domain, "method": "delete-record", "longest_max_age": MAX_AGE}
        run = lab.run(request | ({"publish_none": True} if publish_none else {}))
        confirmed = moment(run, "confirmed_at")
        assert confirmed < moment(run, off_at)
        watch.until(confirmed)
        # Taking the record away takes no policy away (RFC 8461 section 3.1).
        assert watch.last_secure > confirmed
        assert_off(watch, moment(run, off_at))
    assert not sender.looked(domain).secure
