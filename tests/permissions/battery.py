"""Runs that ask for all that the stack's roles may: the documented ones, and what goes wrong in them.

All of a battery wait side by side, each in a domain of its own. Whoever adds a permission adds the run
that needs it here.
"""

import json
from typing import Any

from local.emulator import ACCOUNT, REGION
from local.lab import Lab
from tests.permissions import called, hooked, mishaps, started
from tests.permissions.mishaps import CHANGED, SUCCEEDED, Expected, Place
from tests.workflow.life import add_short, retire
from tests.workflow.scene import BY_HAND, POLICY, RECORD, forget
from tests.workflow.test_events import GOOD, WITHOUT_POLICY, domain_of, event_of, policy_of
from tests.workflow.watch import delete_record, none_policy

# The other stack: the zones are another account's, some policies live elsewhere, a key encrypts them.
DNS_ROLE, LOCATIONS = "dns-account", "/mta-sts/locations"
ELSEWHERE, FOLDER = "elsewhere", "policies"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/of-the-policies"
LISTED = [f"arn:aws:s3:::{ELSEWHERE}", f"arn:aws:s3:::{ELSEWHERE}/{FOLDER}/*"]
OTHER_SETTINGS = {
    "PolicyLocationsParameter": LOCATIONS,
    "PolicyLocationArns": ",".join(LISTED),
    "PolicyKmsKeyArn": KEY,
    "DnsRoleArn": f"arn:aws:iam::{ACCOUNT}:role/{DNS_ROLE}",
    "DistributionId": "",
}
# Left behind in that stack, found in the one as it ships: a minute has to pass.
TRACELESS = "traceless.example"
RETIRED = "retired.example"
SHIPPED_SETTINGS = dict.fromkeys(OTHER_SETTINGS, "")


def shipped(lab: Lab) -> Expected:
    """Run everything in the stack as it ships."""
    first = waited(_before_events(lab))
    forget(lab, "example")
    expected: Expected = [(lab.start(event_of(file)), SUCCEEDED) for file in GOOD.values()]
    tagged = add(lab, "tagged.example", policies=[BY_HAND, POLICY])
    add_short(lab, RETIRED)
    gone = add(lab, "gone.example")
    mishaps.put_without_a_version(lab, lab.policy_object(gone))
    expected += [
        (lab.start(retire(RETIRED, remove_policy=True)), SUCCEEDED),
        (mishaps.with_tags(lab, tagged), SUCCEEDED),
        (mishaps.with_cname(lab, "led.example"), SUCCEEDED),
        (mishaps.gone_before_the_write(lab, gone, lab.policy_object(gone)), CHANGED),
    ]
    add(lab, "twice.example", cdn_seconds=60)
    expected += mishaps.two_at_once(lab, "twice.example")
    expected += mishaps.stopped(lab, add(lab, "stopped.example"))
    expected += hooked.deliveries(lab)
    expected += started.deliveries(lab)
    expected += called.requests(lab)
    waited(expected)
    later = [(lab.start(_check(domain)), SUCCEEDED) for domain in (tagged, gone)]
    later.append((lab.start({"method": "check", "discover": True}), SUCCEEDED))
    later += mishaps.retired(lab, RETIRED)
    mishaps.put_off(lab, TRACELESS)
    return [*first, *expected, *waited(later)]


def with_other_settings(lab: Lab) -> Expected:
    """Run what those settings permit more; the lab was deployed with OTHER_SETTINGS."""
    mishaps.leave_without_a_trace(lab, TRACELESS)
    _prepare_elsewhere(lab)
    lab.client("ssm").put_parameter(Name=LOCATIONS, Type="String", Value="{}")
    names = ("new", "moved", "vanished", "changed", "halted", "left")
    places = {f"{name}.example": (ELSEWHERE, f"{FOLDER}/{name}") for name in names}
    new, moved, vanished, changed, halted, left = places
    for domain, place in places.items():
        if domain == left:
            policy = add_short(lab, domain, cdn_seconds=60)
        else:
            policy = POLICY
            add(lab, domain, cdn_seconds=60)
        lab.policy_hosts.serve(domain, *place)
        for each in {new: [], moved: [BY_HAND, policy]}.get(domain, [policy]):
            lab.account.put_policy(*place, each)
    mishaps.put_without_a_version(lab, places[vanished])
    _say_where(lab, places)
    expected: Expected = [
        (lab.start(none_policy(new, create_policy=True)), SUCCEEDED),
        (lab.start(retire(left, remove_policy=True)), SUCCEEDED),
        (mishaps.with_tags(lab, moved, places[moved]), SUCCEEDED),
        (lab.start(delete_record(add(lab, "unmoved.example"))), SUCCEEDED),
        (mishaps.gone_before_the_write(lab, vanished, places[vanished]), CHANGED),
        (mishaps.changed_before_the_write(lab, changed, places[changed]), CHANGED),
        *mishaps.stopped(lab, halted, places[halted]),
    ]
    waited(expected)
    later = [(lab.start(_check(domain)), SUCCEEDED) for domain in (moved, vanished)]
    later += mishaps.retired(lab, left)
    return [*expected, *waited(later)]


def with_one_distribution(lab: Lab) -> Expected:
    """Run with the distribution named by parameter; deploys that."""
    domain = add(lab, "named.example", cdn_seconds=60)
    lab._deploy({**SHIPPED_SETTINGS, "DistributionId": lab.account.distribution_id(domain)})
    return waited([(lab.start(none_policy(domain)), SUCCEEDED)])


def add(lab: Lab, domain: str, **more: Any) -> str:
    """Set a domain up; return it."""
    lab.add_domain(domain, **{"policies": [POLICY], "record": [RECORD], "ttl": 1, **more})
    return domain


def waited(expected: Expected) -> Expected:
    """Wait for every run."""
    for run, _ in expected:
        run.wait()
    return expected


def _check(domain: str) -> dict[str, Any]:
    return {"domain": domain, "method": "check"}


def _before_events(lab: Lab) -> Expected:
    """Set up the domains of the files under events/, and turn off what is to be put back."""
    found: Expected = []
    for name, file in GOOD.items():
        event, domain = event_of(file), domain_of(file)
        if domain:
            policies = [] if name in WITHOUT_POLICY else [policy_of(name, domain)]
            add(lab, domain, policies=policies)
        if event["method"] == "restore":
            found.append((lab.start(none_policy(domain)), SUCCEEDED))
    return found


def _say_where(lab: Lab, places: dict[str, Place]) -> None:
    """Tell the stack where policies live, and which distribution is in front of each."""
    said = {
        domain: {
            "bucket": bucket,
            "key": key,
            "distribution": lab.account.distribution_id(domain),
        }
        for domain, (bucket, key) in places.items()
    }
    text = json.dumps(said)
    lab.client("ssm").put_parameter(Name=LOCATIONS, Type="String", Value=text, Overwrite=True)


def _prepare_elsewhere(lab: Lab) -> None:
    """Make the bucket that a key encrypts, and the role of the account that has the zones."""
    lab.account.make_bucket(ELSEWHERE)
    s3, iam = lab.client("s3"), lab.client("iam")
    s3.put_bucket_versioning(Bucket=ELSEWHERE, VersioningConfiguration={"Status": "Enabled"})
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    rule = {"ApplyServerSideEncryptionByDefault": default}
    s3.put_bucket_encryption(Bucket=ELSEWHERE, ServerSideEncryptionConfiguration={"Rules": [rule]})
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    dns = {"Effect": "Allow", "Action": "route53:*", "Resource": "*"}
    iam.create_role(RoleName=DNS_ROLE, AssumeRolePolicyDocument=json.dumps({"Statement": trust}))
    iam.put_role_policy(
        RoleName=DNS_ROLE, PolicyName="dns", PolicyDocument=json.dumps({"Statement": dns})
    )
