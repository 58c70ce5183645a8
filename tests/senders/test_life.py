"""What a real sender does when a domain is retired, and when MTA-STS comes back."""

from datetime import UTC, datetime

from local.lab import Lab
from mta_sts.instants import instant
from tests.senders.sender import Sender, Watch
from tests.workflow.life import add_short, due, retire, sweep, until_true
from tests.workflow.scene import forget
from tests.workflow.watch import none_policy, served, txt_values


def test_a_retired_domain_is_never_secure_again(lab: Lab, sender: Sender) -> None:
    """From the moment that is told for senders which read the record, until after it is gone."""
    domain = "retire.example"
    add_short(lab, domain)
    assert sender.secure(domain)
    with Watch(sender, domain) as watch:
        first = lab.run(retire(domain))
        assert first.status == "SUCCEEDED", first.cause
        off = instant(first.output["conforming_off_at"])
        drained = due(lab, domain, "retirement")
        until_true("the retirement is due", lambda: datetime.now(UTC) >= drained)
        assert len(txt_values(lab, domain)) == 1
        [second] = sweep(lab, domain)
        assert second.wait().status == "SUCCEEDED", second.cause
        assert txt_values(lab, domain) == []
        forget(lab, domain)
        assert not sender.looked(domain).secure
        watch.until(datetime.now(UTC))
    assert watch.looks[0].secure
    assert watch.last_secure <= off < instant(first.output["all_off_at"])


def test_a_restored_policy_is_enforced_again(lab: Lab, sender: Sender) -> None:
    """With a fresh id, and from the moment that is told, although `none` was cached."""
    domain = "restore.example"
    policy = add_short(lab, domain)
    assert sender.secure(domain)
    assert lab.run(none_policy(domain)).status == "SUCCEEDED"
    assert not sender.looked(domain).secure
    run = lab.run({"domain": domain, "method": "restore"})
    assert run.status == "SUCCEEDED", run.cause
    assert served(lab, domain) == policy.encode()
    assert sender.looked(domain).secure
    assert instant(run.output["enforced_by_readers_at"]) <= datetime.now(UTC)
