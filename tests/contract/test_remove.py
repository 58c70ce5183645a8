"""`make remove` in the lab: it lists what is due, refuses, and leaves the ledger behind."""

import pytest
from botocore.exceptions import ClientError

from local import remove
from local.deploy import STACK
from local.lab import Lab
from tests.workflow.life import add_short, item, retire
from tests.workflow.watch import none_policy


def test_what_is_due_is_listed_and_refused_and_the_ledger_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Lab() as lab:
        cloudformation, dynamodb = lab.client("cloudformation"), lab.client("dynamodb")
        table = lab.stack_outputs["LedgerTableName"]
        assert remove.pending(dynamodb, table) == []
        for domain, event in (("one.example", retire), ("two.example", none_policy)):
            add_short(lab, domain)
            run = lab.run(event(domain))
            assert run.status == "SUCCEEDED", run.cause
        assert remove.remove(cloudformation, dynamodb, STACK, "") == 1
        told = capsys.readouterr().out
        due = item(lab, "one.example")["due"]["retirement"]["at"]
        assert f"  {due}  one.example: the record is deleted\n" in told
        assert "two.example: a notice that a drain is over" in told
        assert "make remove FORCE=yes" in told
        described = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        assert described["StackStatus"].endswith("_COMPLETE")
        assert remove.remove(cloudformation, dynamodb, STACK, "yes") == 0
        assert (
            f"The ledger stays, with all that was saved: table {table}" in capsys.readouterr().out
        )
        with pytest.raises(ClientError, match="does not exist"):
            cloudformation.describe_stacks(StackName=STACK)
        assert item(lab, "one.example")["saved"]["policy"], "it is retained"
