"""Builds the adapters, each when first asked for and once in a process.

boto3 is imported here and late: functions that only ask DNS and HTTPS never pay for it.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_sns import SNSClient
    from types_boto3_ssm import SSMClient
    from types_boto3_stepfunctions import SFNClient

    from mta_sts.adapters.agenda import Agenda
    from mta_sts.adapters.cloudfront import Cdn
    from mta_sts.adapters.executions import Executions
    from mta_sts.adapters.hooks import HookKeys, HookSources
    from mta_sts.adapters.ledger import Ledger
    from mta_sts.adapters.refusals import Refusals
    from mta_sts.adapters.register import Register
    from mta_sts.adapters.route53 import Zones
    from mta_sts.adapters.s3 import PolicyStore
    from mta_sts.intake import Intake
    from mta_sts.live_mx import LiveMx


def _client(service: str, *, hurried: bool = False, **options: Any) -> Any:
    import boto3
    from botocore.config import Config

    # Route 53 allows ten requests a second for a whole account: be patient, not insistent.
    # The workflow tries again for longer than a function may run.
    attempts, connect, read = (1, 1, 2) if hurried else (3, 3, 5)
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=connect,
        read_timeout=read,
    )
    return boto3.client(service, config=config, **options)  # type: ignore[call-overload]


@lru_cache
def policy_store() -> "PolicyStore":
    """Give access to policy objects."""
    from mta_sts.adapters.s3 import PolicyStore

    return PolicyStore(_client("s3"))


@lru_cache
def cdn() -> "Cdn":
    """Give access to CloudFront."""
    from mta_sts.adapters.cloudfront import Cdn

    return Cdn(_client("cloudfront"))


def look_at(*asked: Any, **more: Any) -> dict[str, Any]:
    """Look at a policy host; most plans do without, and without HTTPS."""
    from mta_sts.adapters.policy_host import look_at

    return look_at(*asked, **more)


def live_mx(*asked: Any) -> "LiveMx":
    """Ask for the MX records; only a restore compares them."""
    from mta_sts.adapters.mail import ask_mx

    return ask_mx(*asked)


def zones(role_arn: str) -> "Zones":
    """Give access to Route 53, in another account where ``role_arn`` is not empty.

    The assumed role's credentials live an hour, so they are not kept between invocations.
    """
    from mta_sts.adapters.route53 import Zones

    if not role_arn:
        return Zones(_client("route53"))
    lent = _client("sts").assume_role(RoleArn=role_arn, RoleSessionName="mta-sts-off")[
        "Credentials"
    ]
    return Zones(
        _client(
            "route53",
            aws_access_key_id=lent["AccessKeyId"],
            aws_secret_access_key=lent["SecretAccessKey"],
            aws_session_token=lent["SessionToken"],
        )
    )


@lru_cache
def ledger() -> "Ledger":
    """Give access to the ledger."""
    from mta_sts.adapters.ledger import Ledger
    from mta_sts.settings import ledger_table

    # Only a claim that is held by somebody else asks for executions.
    return Ledger(_database(), ledger_table(), executions)


@lru_cache
def agenda() -> "Agenda":
    """Give access to what the ledger has due."""
    from mta_sts.adapters.agenda import Agenda
    from mta_sts.settings import ledger_table

    return Agenda(_database(), ledger_table())


@lru_cache
def register() -> "Register":
    """Give the ledger to be read."""
    from mta_sts.adapters.register import Register
    from mta_sts.settings import ledger_table

    return Register(_database(), ledger_table())


@lru_cache
def look_at_executions() -> "Executions":
    """Give executions to be looked at."""
    from mta_sts.adapters.executions import Executions
    from mta_sts.settings import state_machine

    return Executions(executions(), state_machine())


@lru_cache
def intake() -> "Intake":
    """Give the way from a front door to an execution."""
    from mta_sts.adapters.deliveries import Deliveries
    from mta_sts.intake import Intake
    from mta_sts.settings import deliveries_table, state_machine

    deliveries = Deliveries(_database(), deliveries_table())
    return Intake(deliveries, ledger(), executions(), state_machine())


@lru_cache
def refusals() -> "Refusals":
    """Give the way to tell why a delivery was refused; the answer waits for it, but not for long."""
    from mta_sts.adapters.deliveries import Deliveries
    from mta_sts.adapters.refusals import Refusals
    from mta_sts.settings import deliveries_table

    deliveries = Deliveries(_client("dynamodb", hurried=True), deliveries_table())
    return Refusals(deliveries, _client("events", hurried=True))


@lru_cache
def hook_sources() -> "HookSources":
    """Give who may send deliveries to the hooks."""
    from mta_sts.adapters.hooks import HookSources
    from mta_sts.settings import hook_sources_parameter

    return HookSources(parameters(), hook_sources_parameter())


@lru_cache
def hook_keys() -> "HookKeys":
    """Give the keys by which deliveries are signed."""
    from mta_sts.adapters.hooks import HookKeys

    return HookKeys(_client("secretsmanager"))


@lru_cache
def _database() -> "DynamoDBClient":
    client: DynamoDBClient = _client("dynamodb")
    return client


@lru_cache
def executions() -> "SFNClient":
    """Give access to Step Functions."""
    client: SFNClient = _client("stepfunctions")
    return client


@lru_cache
def notices() -> "SNSClient":
    """Give access to the topic for notices; the workflow itself publishes without."""
    client: SNSClient = _client("sns")
    return client


@lru_cache
def events() -> "EventBridgeClient":
    """Give access to the event bus; the workflow itself puts events there without."""
    client: EventBridgeClient = _client("events")
    return client


@lru_cache
def parameters() -> "SSMClient":
    """Give access to SSM parameters."""
    client: SSMClient = _client("ssm")
    return client
