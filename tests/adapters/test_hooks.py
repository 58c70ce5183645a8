"""The hooks' configuration and keys, over real services: read seldom, and never believed when unusable."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from local.emulator import Emulator
from mta_sts.adapters.hooks import KEPT, ROTATING, HookKeys, HookSources
from mta_sts.errors import TransientError
from mta_sts.hooks.sources import HooksUnusableError, Source, parse

NOW = datetime.now(UTC)
DESK = {"format": "plain", "secret": "desk", "domains": ["solarmora.com"]}
FIRST, SECOND, THIRD = "first-key-of-the-desk", "second-key-of-the-desk", "third-key-of-the-desk"


def source(secret: str) -> Source:
    return parse(json.dumps({"desk": {**DESK, "secret": secret}}))["desk"]


class Counting:
    """A client that counts calls."""

    def __init__(self, client: Any) -> None:
        self._client, self.calls = client, 0

    def __getattr__(self, name: str) -> Any:
        def called(**what: Any) -> Any:
            self.calls += 1
            return getattr(self._client, name)(**what)

        return called


class Failing:
    """A client that AWS refuses."""

    def __init__(self, code: str, status: int = 400) -> None:
        told: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        self._error = ClientError(told, "X")

    def __getattr__(self, name: str) -> Any:
        def called(**_what: Any) -> Any:
            raise self._error

        return called


def test_the_configuration_is_read_once_in_a_minute(emulator: Emulator) -> None:
    ssm = emulator.client("ssm")
    ssm.put_parameter(Name="/hooks/read", Type="String", Value=json.dumps({"desk": DESK}))
    client = Counting(ssm)
    sources = HookSources(cast("Any", client), "/hooks/read")
    assert sources.find("desk", NOW) is not None
    assert sources.find("nobody", NOW) is None
    ssm.put_parameter(Name="/hooks/read", Type="String", Value="{}", Overwrite=True)
    assert sources.find("desk", NOW + KEPT - timedelta(seconds=1)) is not None
    assert client.calls == 1
    assert sources.find("desk", NOW + KEPT) is None


def test_a_configuration_that_was_broken_is_used_no_more(emulator: Emulator) -> None:
    ssm = emulator.client("ssm")
    ssm.put_parameter(Name="/hooks/broken", Type="String", Value=json.dumps({"desk": DESK}))
    sources = HookSources(ssm, "/hooks/broken")
    sources.find("desk", NOW)
    ssm.put_parameter(Name="/hooks/broken", Type="String", Value='{"desk": {}}', Overwrite=True)
    for _ in range(2):
        with pytest.raises(HooksUnusableError, match="format must be one of"):
            sources.find("desk", NOW + KEPT)


def test_a_configuration_that_is_not_there(emulator: Emulator) -> None:
    with pytest.raises(HooksUnusableError, match="/hooks/none cannot be read: ParameterNotFound"):
        HookSources(emulator.client("ssm"), "/hooks/none").find("desk", NOW)


def test_a_key_that_was_replaced_is_taken_for_a_day(emulator: Emulator) -> None:
    client = emulator.client("secretsmanager")
    client.create_secret(Name="replaced", SecretString=FIRST)
    keys, desk = HookKeys(client), source("replaced")
    assert keys.of(desk, NOW) == (FIRST.encode(),)
    client.put_secret_value(SecretId="replaced", SecretString=SECOND)
    assert HookKeys(client).of(desk, NOW) == (SECOND.encode(), FIRST.encode())
    client.put_secret_value(SecretId="replaced", SecretString=THIRD)
    assert HookKeys(client).of(desk, NOW) == (THIRD.encode(), SECOND.encode())
    later = datetime.now(UTC) + ROTATING
    assert HookKeys(client).of(desk, later) == (THIRD.encode(),)


def test_a_key_that_leaked_can_be_ended_at_once(emulator: Emulator) -> None:
    """As docs/ticketing.md says: its label is taken away."""
    client = emulator.client("secretsmanager")
    leaked = client.create_secret(Name="leaked", SecretString=FIRST)["VersionId"]
    client.put_secret_value(SecretId="leaked", SecretString=SECOND)
    client.update_secret_version_stage(
        SecretId="leaked", VersionStage="AWSPREVIOUS", RemoveFromVersionId=leaked
    )
    assert HookKeys(client).of(source("leaked"), NOW) == (SECOND.encode(),)


def test_keys_are_read_once_in_a_minute(emulator: Emulator) -> None:
    real = emulator.client("secretsmanager")
    real.create_secret(Name="kept", SecretString=FIRST)
    client = Counting(real)
    keys = HookKeys(cast("Any", client))
    first = keys.of(source("kept"), NOW)
    calls = client.calls
    real.put_secret_value(SecretId="kept", SecretString=SECOND)
    assert keys.of(source("kept"), NOW + KEPT - timedelta(seconds=1)) == first
    assert client.calls == calls
    assert keys.of(source("kept"), NOW + KEPT)[0] == SECOND.encode()


def test_a_key_of_bytes(emulator: Emulator) -> None:
    client = emulator.client("secretsmanager")
    client.create_secret(Name="bytes", SecretBinary=b"\x00\xff" * 16)
    assert HookKeys(client).of(source("bytes"), NOW) == (b"\x00\xff" * 16,)


@pytest.mark.parametrize("key", ["x", "fifteen-letters"])
def test_a_key_that_could_be_guessed_is_none(emulator: Emulator, key: str) -> None:
    client = emulator.client("secretsmanager")
    client.create_secret(Name=f"short-{key}", SecretString=key)
    with pytest.raises(HooksUnusableError, match="shorter than 16"):
        HookKeys(client).of(source(f"short-{key}"), NOW)
    client.put_secret_value(SecretId=f"short-{key}", SecretString=FIRST)
    assert HookKeys(client).of(source(f"short-{key}"), NOW) == (FIRST.encode(),), (
        "nor the one before"
    )


def test_a_secret_that_is_not_there(emulator: Emulator) -> None:
    with pytest.raises(HooksUnusableError, match="secret none cannot be read: ResourceNotFound"):
        HookKeys(emulator.client("secretsmanager")).of(source("none"), NOW)


@pytest.mark.parametrize(
    ("code", "status", "raised"),
    [
        ("AccessDeniedException", 400, HooksUnusableError),
        ("ThrottlingException", 400, TransientError),
        ("InternalServiceError", 500, TransientError),
    ],
)
def test_a_busy_service_is_no_wrong_configuration(
    code: str, status: int, raised: type[Exception]
) -> None:
    client = cast("Any", Failing(code, status))
    with pytest.raises(raised):
        HookSources(client, "/hooks").find("desk", NOW)
    with pytest.raises(raised):
        HookKeys(client).of(source("desk"), NOW)
