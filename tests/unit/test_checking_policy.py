"""A check of the policy: what each address serves, the object behind it, certificates and caches."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.checks.judge import check
from mta_sts.instants import stamp
from mta_sts.observed import History
from mta_sts.policy_check import Fetched
from tests.unit.plans import ADDRESS, ENFORCE, NONE, NOT_FOUND, NOW, SILENT, policy, stored
from tests.unit.sights import (
    ALL_OFF,
    EXECUTION,
    FAR,
    OURS,
    codes,
    deleted,
    draining,
    finding,
    item,
    none_object,
    outcome,
    served,
    sight,
    watch,
)

REFUSED = Fetched(ADDRESS, "certificate", detail="expired on 2026-11-23T00:00:00Z")
OTHER = "192.0.2.2"


class TestServed:
    def test_all_is_well(self) -> None:
        assert codes(outcome(sight())) == set()

    def test_addresses_that_differ(self) -> None:
        told = outcome(sight(ENFORCE, (OURS,), served(), served(policy(max_age=1), OTHER)))
        assert OTHER in finding(told, "policy-differs")["text"]

    def test_an_address_that_is_silent(self) -> None:
        told = outcome(sight(ENFORCE, (OURS,), served(), replace(SILENT, address=OTHER)))
        assert "192.0.2.2 gave no answer (timed out)" in finding(told, "policy-unseen")["text"]

    def test_a_record_without_a_policy(self) -> None:
        told = outcome(sight(ENFORCE, (OURS,), NOT_FOUND))
        assert "status 404" in finding(told, "record-without-policy")["text"]

    def test_a_policy_without_a_record(self) -> None:
        assert "policy-without-record" in codes(outcome(sight(ENFORCE, ())), "warning")

    def test_a_malformed_policy_line_by_line(self) -> None:
        body = b"version: STSv1\nmode: enforced\n\nmx: mail.solarmora.com\nmax_age: x\n"
        told = finding(outcome(sight(body)), "policy-malformed")
        assert [one.partition(":")[0] for one in told["evidence"]["problems"]] == [
            "line 2",
            "line 3",
            "line 5",
        ]
        assert "line 2: the mode must be enforce, testing or none" in told["text"]

    def test_a_media_type_that_most_senders_reject(self) -> None:
        told = outcome(sight(ENFORCE, (OURS,), served(media_type="binary/octet-stream")))
        assert "binary/octet-stream" in finding(told, "media-type")["text"]

    @pytest.mark.parametrize(
        ("headers", "words"),
        [
            ({"age": 12}, "Age 12"),
            ({"x_cache": "Hit from cloudfront"}, "X-Cache Hit from cloudfront"),
            ({"cache_control": "public, max-age=3600"}, "Cache-Control public, max-age=3600"),
        ],
    )
    def test_a_cache_that_shows(self, headers: dict[str, Any], words: str) -> None:
        told = finding(outcome(sight(ENFORCE, (OURS,), served(**headers))), "caching")
        assert words in told["text"]
        assert told["level"] == "note"
        assert "know of no cache" in told["text"]

    @pytest.mark.parametrize("header", ["no-store", "max-age=0", "no-cache, max-age=00"])
    def test_one_that_may_keep_nothing_is_none(self, header: str) -> None:
        told = outcome(sight(ENFORCE, (OURS,), served(cache_control=header)))
        assert "caching" not in codes(told)


class TestObject:
    def test_what_is_served_is_not_the_object(self) -> None:
        told = outcome(sight(ENFORCE, (OURS,), served(policy("testing"))))
        assert (
            "is not the object s3://mta-sts.solarmora.com"
            in (finding(told, "object-differs")["text"])
        )

    def test_what_is_served_comes_from_elsewhere(self) -> None:
        told = outcome(sight(None, (OURS,), served()))
        assert "comes from elsewhere" in finding(told, "object-missing")["text"]

    def test_what_could_not_be_read(self) -> None:
        told = outcome(sight(stored=None, problems={"object": "AccessDenied", "cdn": "denied"}))
        assert "AccessDenied" in finding(told, "object-unseen")["text"]
        assert {"cdn-unseen"} <= codes(told, "note")
        assert "object-missing" not in codes(told)

    def test_a_history_that_is_not_known(self) -> None:
        told = outcome(sight(history=History(gap="the bucket keeps no versions")))
        assert "keeps no versions" in finding(told, "history-unknown")["text"]

    def test_the_file_was_changed_and_the_id_was_not(self) -> None:
        ours = item(phase="on", policy_sha256="0" * 64, ours={"policies": ["0" * 64], "ids": ["2"]})
        later = replace(stored(), last_modified=NOW - timedelta(minutes=5))
        told = outcome(sight(stored=later, item=ours))
        assert finding(told, "file-changed-id-not")["level"] == "warning"
        assert told["answers"]["trouble"]["next"].startswith("run change-id")

    @pytest.mark.parametrize("what", ["announced", "older", "another id"])
    def test_nothing_of_the_kind(self, what: str) -> None:
        later = replace(stored(), last_modified=NOW - timedelta(minutes=5))
        ours = item(phase="on", policy_sha256="0" * 64, ours={"policies": [], "ids": ["2"]})
        seen = sight(stored=later, item=ours)
        if what == "announced":
            seen = replace(seen, item={**ours, "policy_sha256": later.sha256})
        elif what == "older":
            seen = replace(seen, stored=stored())
        else:
            changes = [{**ours["id_changes"][0], "id": "7"}]
            seen = replace(seen, item={**ours, "id_changes": changes})
        assert "file-changed-id-not" not in codes(outcome(seen))


class TestCertificates:
    def test_one_that_ends_soon(self) -> None:
        soon = stamp(NOW + timedelta(days=13))
        told = outcome(sight(ENFORCE, (OURS,), served(certificate_not_after=soon)))
        found = finding(told, "certificate-ends")
        assert (found["level"], found["next"]) == (
            "warning",
            f"renew the certificate before {soon}",
        )

    def test_one_that_lasts(self) -> None:
        later = stamp(NOW + timedelta(days=15))
        told = outcome(sight(ENFORCE, (OURS,), served(certificate_not_after=later)))
        assert codes(told) == set()

    def test_one_that_no_sender_accepts_while_a_policy_is_in_force(self) -> None:
        told = outcome(sight(ENFORCE, (OURS,), REFUSED))
        found = finding(told, "certificate-invalid")
        assert found["level"] == "alarm"
        assert "192.0.2.1: expired on 2026-11-23T00:00:00Z" in found["text"]

    def test_one_that_nobody_needs(self) -> None:
        assert finding(outcome(sight(None, (), REFUSED)), "certificate-invalid")["level"] == "note"

    def test_one_that_ends_before_the_drain(self) -> None:
        end = stamp(ALL_OFF - timedelta(seconds=1))
        seen = draining(served(NONE, certificate_not_after=end))
        assert finding(outcome(seen), "certificate-ends-early")["level"] == "warning"
        told = check(watch(), seen, EXECUTION)
        assert told["alarms"] == ["certificate-ends-early"]
        first, second, *_ = told["text"].split("\n")
        assert first.startswith(
            "MTA-STS is off for solarmora.com, but not for good: the certificate"
        )
        assert f"Next: renew the certificate before {end}." in second

    def test_one_that_ends_with_the_drain_is_long_enough(self) -> None:
        seen = draining(served(NONE, certificate_not_after=stamp(ALL_OFF)))
        assert check(watch(), seen, EXECUTION)["alarms"] == []


class TestDrain:
    """Invariant 7: while senders let go, none stays served everywhere, and the object is ours."""

    @pytest.mark.parametrize(
        "fetched",
        [
            (served(ENFORCE),),
            (served(NONE), served(ENFORCE, OTHER)),
            (served(NONE), replace(SILENT, address=OTHER)),
            (NOT_FOUND,),
            (served(NONE), REFUSED),
            (served(NONE, status=503),),
        ],
        ids=["another policy", "at one address", "silent", "gone", "a certificate", "an error"],
    )
    def test_none_is_not_served_everywhere(self, fetched: tuple[Fetched, ...]) -> None:
        told = check(watch(), draining(*fetched), EXECUTION)
        assert "none-not-served" in told["alarms"]
        assert set(told["alarms"]) <= {"none-not-served", "certificate-invalid"}
        first, second, *_ = told["text"].split("\n")
        assert first.startswith(
            "half changed for solarmora.com: mta-sts.solarmora.com has to serve mode none until every sender"
        )
        assert (
            "send none-policy again: it writes none, proves it and publishes a fresh id" in second
        )
        assert told["all_off_at"] is None

    def test_a_host_without_an_address(self) -> None:
        seen = draining()
        empty = {**seen.look, "agreeing": [], "doubts": []}
        told = check(watch(), replace(seen, fetched=(), look=empty), EXECUTION)
        assert told["alarms"] == ["none-not-served"]

    def test_the_object_was_changed_by_hand(self) -> None:
        by_hand = policy("testing")
        seen = draining(stored=none_object(body=by_hand))
        told = check(watch(), seen, EXECUTION)
        assert told["alarms"] == ["object-changed"]
        assert "(mode testing)" in told["text"].split("\n")[0]

    def test_the_object_was_removed_by_hand(self) -> None:
        told = check(watch(), draining(stored=None), EXECUTION)
        assert told["alarms"] == ["object-changed"]
        assert "create_policy: true" in told["answers"]["trouble"]["next"]

    def test_what_a_run_at_work_may_have_written_is_ours(self) -> None:
        kept = item()
        other = none_object(body=NONE + b"x: y\r\n")
        kept["ours"] = {"policies": [stored(NONE).sha256, other.sha256], "ids": ["2"]}
        assert check(watch(), draining(stored=other, item=kept), EXECUTION)["alarms"] == []

    def test_after_a_deletion_a_policy_that_is_served_again(self) -> None:
        told = check(watch(), deleted(served(ENFORCE)), EXECUTION)
        assert told["alarms"] == ["policy-served-again"]

    def test_after_a_deletion_silence_is_no_alarm(self) -> None:
        assert check(watch(), deleted(SILENT), EXECUTION)["alarms"] == []

    def test_a_drain_that_is_over_wants_nothing(self) -> None:
        seen = draining(NOT_FOUND, item=item(all_off_at=stamp(NOW), due={}))
        assert check(watch(), seen, EXECUTION)["alarms"] == []

    def test_certificates_last_in_these_tests(self) -> None:
        assert stamp(ALL_OFF) < FAR
