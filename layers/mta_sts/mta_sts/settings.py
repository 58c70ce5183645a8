"""The settings of the stack, and the environment, which is read here and nowhere else.

The state machine's definition hands the settings to the planning function, and the plan carries what
later steps need: a changed setting is there with the next run, and a long run keeps what it began with.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Endpoint:
    """An address and a port; ``str()`` gives ``127.0.0.1:53`` or ``[::1]:53``."""

    address: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int) -> Self:
        """Read ``address``, ``address:port``, ``[v6]`` or ``[v6]:port``; raise ValueError."""
        text = text.strip()
        if text.startswith("["):
            address, _, port = text[1:].partition("]")
            port = port.removeprefix(":")
        elif text.count(":") == 1:
            address, _, port = text.partition(":")
        else:
            address, port = text, ""
        return cls(address, int(port) if port else default_port)

    def __str__(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"


@dataclass(frozen=True)
class Network:
    """Whom to ask and how: resolvers, ports of name servers and policy hosts, trusted CAs.

    ``ca_file`` is a PEM file, empty for the system's own; ``region`` says where evidence was seen.
    """

    resolvers: tuple[Endpoint, ...]
    dns_port: int = 53
    https_port: int = 443
    ca_file: str = ""
    region: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back what :meth:`to_dict` wrote."""
        return cls(
            resolvers=tuple(Endpoint.parse(text, 53) for text in data["resolvers"]),
            dns_port=data["dns_port"],
            https_port=data["https_port"],
            ca_file=data["ca_file"],
            region=data["region"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form that a plan carries."""
        return asdict(self) | {"resolvers": [str(endpoint) for endpoint in self.resolvers]}


@dataclass(frozen=True)
class Settings:
    """What the stack's parameters say about where policies live and how long to wait.

    ``policy_bucket`` and ``policy_key`` are patterns with ``{domain}``. ``distribution_id`` is empty
    (look for the alias), ``none`` or an id. Durations are seconds.
    """

    policy_bucket: str
    policy_key: str
    policy_locations_parameter: str
    distribution_id: str
    other_cache_seconds: int
    deadline_seconds: int
    first_pause_seconds: int
    unseen_change_seconds: int
    max_policy_age_seconds: int
    drain_margin_seconds: int
    dns_role_arn: str
    network: Network

    @classmethod
    def from_dict(cls, data: Mapping[str, str], region: str) -> Self:
        """Read what the definition says, all of it text; raise KeyError naming what is missing."""
        resolvers = [text for text in data["resolvers"].split(",") if text.strip()]
        return cls(
            policy_bucket=data["policy_bucket"],
            policy_key=data["policy_key"],
            policy_locations_parameter=data["policy_locations_parameter"],
            distribution_id=data["distribution_id"],
            other_cache_seconds=int(data["other_cache_seconds"]),
            deadline_seconds=int(data["deadline_seconds"]),
            first_pause_seconds=int(data["first_pause_seconds"]),
            unseen_change_seconds=int(data["unseen_change_seconds"]),
            max_policy_age_seconds=int(data["max_policy_age_seconds"]),
            drain_margin_seconds=int(data["drain_margin_seconds"]),
            dns_role_arn=data["dns_role_arn"],
            network=Network(
                resolvers=tuple(Endpoint.parse(text, 53) for text in resolvers),
                dns_port=int(data["dns_port"]),
                https_port=int(data["https_port"]),
                ca_file=data["ca_file"],
                region=region,
            ),
        )


def region(env: Mapping[str, str] | None = None) -> str:
    """Name the region of this function, from which evidence is seen."""
    return (os.environ if env is None else env)["AWS_REGION"]


def ledger_table(env: Mapping[str, str] | None = None) -> str:
    """Name the ledger's DynamoDB table."""
    return (os.environ if env is None else env)["LEDGER_TABLE"]


def deliveries_table(env: Mapping[str, str] | None = None) -> str:
    """Name the DynamoDB table of what came through the front doors."""
    return (os.environ if env is None else env)["DELIVERIES_TABLE"]


def api_authorisation(env: Mapping[str, str] | None = None) -> str:
    """Say by what the gateway knows who calls: IAM or OAUTH."""
    return (os.environ if env is None else env)["API_AUTHORISATION"]


def hook_sources_parameter(env: Mapping[str, str] | None = None) -> str:
    """Name the SSM parameter that says who may send deliveries to the hooks."""
    return (os.environ if env is None else env)["HOOK_SOURCES_PARAMETER"]


def state_machine(env: Mapping[str, str] | None = None) -> str:
    """Name the state machine, by its ARN."""
    return (os.environ if env is None else env)["STATE_MACHINE_ARN"]


def notice_topic(env: Mapping[str, str] | None = None) -> str:
    """Name the topic for notices, by its ARN."""
    return (os.environ if env is None else env)["NOTICE_TOPIC_ARN"]
