"""What becomes of mail where the order or the fresh id is left out: the harm, at a real sender."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.lab import Lab
from tests.senders.sender import Look, Sender
from tests.workflow.scene import NONE_POLICY, POLICY, add, forget, reaches, write_record
from tests.workflow.watch import served, txt_values


def mail_during_the_purge(lab: Lab, folder: Path) -> tuple[Look, Look]:
    """Run `none-policy` while a sender comes before the CDN is fresh; return its answers then and after.

    Both rest on what DNS said at that moment; the run has succeeded.
    """
    domain = "order.example"
    add(lab, domain, cdn_seconds=600)
    folder.mkdir()
    with Sender(lab, folder) as sender:
        assert sender.secure(domain)
        lab.hold_invalidations(domain)
        run = lab.start({"domain": domain, "method": "none-policy"})
        assert reaches(run, "Wait For CDN") == "Wait For CDN"
        forget(lab, domain)
        during = sender.looked(domain)
        lab.heal(domain)
        assert run.wait().status == "SUCCEEDED", run.cause
        return during, sender.looked(domain)


def test_an_id_that_changes_before_the_policy_keeps_mail_bound_for_good(
    lab: Lab, id_before_policy: Lab, tmp_path: Path
) -> None:
    """The old policy is stored under the new id, and an id that stays is no reason to look again."""
    labs = {"right": lab, "wrong": id_before_policy}
    with ThreadPoolExecutor() as pool:
        running = {
            name: pool.submit(mail_during_the_purge, each, tmp_path / name)
            for name, each in labs.items()
        }
        seen = {name: each.result() for name, each in running.items()}
    assert {name: during.secure for name, (during, _) in seen.items()} == {
        "right": True, "wrong": True,
    }  # fmt: skip
    assert {name: after.secure for name, (_, after) in seen.items()} == {
        "right": False, "wrong": True,
    }  # fmt: skip


# --- rolling back: the policy as it was, with the id that senders know or with a fresh one


def turn_off(lab: Lab, sender: Sender, domain: str) -> None:
    """Let a sender cache the policy, and then that there is none any more."""
    add(lab, domain)
    assert sender.secure(domain)
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    assert not sender.looked(domain).secure
    assert served(lab, domain) == NONE_POLICY


def put_back_by_hand(lab: Lab, domain: str) -> None:
    """Put the policy object back as it was, and nothing else."""
    lab.account.put_policy(*lab.policy_object(domain), POLICY)


def newcomer(lab: Lab, folder: Path, domain: str) -> Look:
    """Return what a sender is told that has nothing cached."""
    with Sender(lab, folder) as sender:
        return sender.ask(domain)


def test_a_roll_back_without_a_fresh_id_leaves_mail_unprotected(
    lab: Lab, sender: Sender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    domain = "stale-id.example"
    turn_off(lab, sender, domain)
    before = txt_values(lab, domain)
    put_back_by_hand(lab, domain)
    assert newcomer(lab, tmp_path_factory.mktemp("newcomer"), domain).secure
    # It looks at the record again and again, and every time finds the id that it knows.
    assert not sender.looked(domain, times=2).secure
    assert txt_values(lab, domain) == before


# What `restore` does by itself is done by hand here, so that the two differ in nothing but the id.
def test_a_roll_back_with_a_fresh_id_protects_mail_again(lab: Lab, sender: Sender) -> None:
    domain = "fresh-id.example"
    turn_off(lab, sender, domain)
    put_back_by_hand(lab, domain)
    write_record(lab, domain, "v=STSv1; id=20991231235959;")
    sender.becomes(domain, secure=True)
