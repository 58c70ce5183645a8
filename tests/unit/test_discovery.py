"""Which domains of an account have an STS record."""

import json
from typing import Any

from mta_sts.checks.discovery import Listed, discovered
from mta_sts.instants import stamp
from tests.unit.plans import NOW

ARN = "arn:aws:states:eu-west-1:1:execution:m:look"


def txt(domain: str, *values: str) -> tuple[str, str, dict[str, Any]]:
    records = [{"Value": f'"{value}"'} for value in values]
    return "example.com", f"_mta-sts.{domain}", {"Type": "TXT", "ResourceRecords": records}


def told(*sets: Any, zones: int = 2, items: Any = None, left_out: Any = ()) -> dict[str, Any]:
    return discovered(Listed(zones, sets, items or {}, left_out), ARN, NOW)


class TestState:
    def test_a_record_is_still_on(self) -> None:
        found = told(txt("a.example", "v=STSv1; id=1;"), items={"a.example": {}})
        assert found["state"] == "on"
        assert found["text"].startswith(
            "MTA-STS is still on for 1 domain, by the record, in 2 public zones of this account.\n"
        )
        assert "- a.example: v=STSv1; id=1; (no run of this stack has touched it)" in found["text"]

    def test_what_drains_is_off(self) -> None:
        items = {"a.example": {"phase": "draining", "all_off_at": stamp(NOW)}}
        found = told(txt("a.example", "v=STSv1; id=1;"), items=items)
        assert found["state"] == "off"
        assert (
            "MTA-STS is off for every domain in 2 public zones of this account: 1 drain"
            in (found["text"])
        )
        assert f"(draining until {stamp(NOW)})" in found["text"]

    def test_both(self) -> None:
        items = {"a.example": {"phase": "draining"}, "b.example": {"phase": "on"}}
        sets = [txt(name, "v=STSv1; id=1;") for name in ("a.example", "b.example")]
        found = told(*sets, items=items)
        assert found["state"] == "on"
        assert found["subject"] == "MTA-STS is still on for 1 domain, by the record"
        assert "; 1 more drain, turned off by this stack." in found["text"]

    def test_none(self) -> None:
        found = told(zones=1)
        assert found["text"].startswith(
            "MTA-STS is off for every domain in 1 public zone of this account: none has an STS"
        )

    def test_zones_that_were_not_looked_at(self) -> None:
        found = told(left_out=("example.com (Z1): no time was left",))
        assert ", as far as they were looked at: none has" in found["text"]
        assert "- example.com (Z1): no time was left" in found["text"]

    def test_no_zone_at_all_is_not_off(self) -> None:
        found = told(zones=0, left_out=("the account's zones: AccessDenied",))
        assert found["state"] == "unknown"
        assert found["text"].startswith("MTA-STS is still on or off for the domains")


class TestRows:
    def test_of_a_record(self) -> None:
        items = {"a.example": {"phase": "on"}}
        (row,) = told(txt("a.example", "v=STSv1; id=1;", "other"), items=items)["domains"]
        assert row == {
            "domain": "a.example",
            "zone": "example.com",
            "type": "TXT",
            "values": ["v=STSv1; id=1;"],
            "leads_to": "",
            "id": "1",
            "known": True,
            "phase": "on",
            "all_off_at": None,
        }

    def test_of_a_cname_and_of_an_alias(self) -> None:
        cname = {"Type": "CNAME", "ResourceRecords": [{"Value": "x.vendor.example."}]}
        alias = {"Type": "TXT", "AliasTarget": {"DNSName": "y.example.com."}}
        found = told(("z", "_mta-sts.a.example", cname), ("z", "_mta-sts.b.example", alias))
        assert [row["leads_to"] for row in found["domains"]] == [
            "x.vendor.example",
            "y.example.com",
        ]
        assert found["state"] == "on"
        assert "CNAME to x.vendor.example (the ledger could not be read)" in found["text"]

    def test_of_no_record_that_counts(self) -> None:
        found = told(txt("a.example", "v=STSv1; id=1;", "v=STSv1; id=2;"), txt("b.example", "x"))
        assert [row["id"] for row in found["domains"]] == ["", ""]
        assert "- b.example: no STS value" in found["text"]
        assert " on for 1 domain, " in found["text"]

    def test_thousands_fit_and_are_counted(self) -> None:
        sets = [
            txt(f"{'x' * 60}.{n}.example", f"v=STSv1; id={n}; a={'y' * 150};") for n in range(999)
        ]
        found = told(*sets)
        assert found["domains_found"] == 999
        assert len(json.dumps(found)) < 90_000
        assert len(found["domains"]) > 100
        assert "Domains (the first 100 of 999):" in found["text"]
