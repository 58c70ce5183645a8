"""The hooks' configuration in SSM, and the sources' keys in Secrets Manager; each read once in a minute."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mta_sts.errors import TransientError
from mta_sts.hooks.sources import HooksUnusableError, Source, parse
from mta_sts.transient import is_busy

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_ssm import SSMClient

KEPT = timedelta(minutes=1)
# A key that was replaced is taken for so long, so that both ends can be given the new one.
ROTATING = timedelta(days=1)
_SHORTEST_KEY = 16  # bytes
_GONE = "ResourceNotFoundException"


class HookSources:
    """Who may send deliveries."""

    def __init__(self, client: "SSMClient", parameter: str) -> None:
        self._ssm = client
        self._parameter = parameter
        self._kept: tuple[datetime, dict[str, Source]] | None = None

    def find(self, name: str, now: datetime) -> Source | None:
        """Give a source, None where there is none of the name.

        Raises HooksUnusableError where the configuration is not usable: then no source is.
        """
        if self._kept is None or now - self._kept[0] >= KEPT:
            try:
                found = self._ssm.get_parameter(Name=self._parameter, WithDecryption=True)
            except ClientError as error:
                raise _named(error, f"The parameter {self._parameter}") from error
            self._kept = now, parse(found["Parameter"].get("Value", ""))
        return self._kept[1].get(name)


class HookKeys:
    """The keys that sources sign with."""

    def __init__(self, client: "SecretsManagerClient") -> None:
        self._secrets = client
        self._kept: dict[str, tuple[datetime, tuple[bytes, ...]]] = {}

    def of(self, source: Source, now: datetime) -> tuple[bytes, ...]:
        """Give a source's key, and for a day the one before; raise HooksUnusableError where it has none."""
        read_at, keys = self._kept.get(source.secret, (None, ()))
        if read_at is None or now - read_at >= KEPT:
            keys = self._read(source.secret, now)
            self._kept[source.secret] = now, keys
        return keys

    def _read(self, secret: str, now: datetime) -> tuple[bytes, ...]:
        try:
            current = self._secrets.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")
        except ClientError as error:
            raise _named(error, f"The secret {secret}") from error
        keys = [_key(current)]
        if now - current["CreatedDate"] < ROTATING:
            try:
                previous: Any = self._secrets.get_secret_value(
                    SecretId=secret, VersionStage="AWSPREVIOUS"
                )
                keys.append(_key(previous))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != _GONE:
                    raise _named(error, f"The secret {secret}") from error
        # Whoever may leave a key out could sign with none.
        usable = tuple(key for key in keys if len(key) >= _SHORTEST_KEY)
        if not usable or usable[0] != keys[0]:
            raise HooksUnusableError(
                f"The secret {secret} is shorter than {_SHORTEST_KEY} characters."
            )
        return usable


def _key(found: Any) -> bytes:
    return bytes(found.get("SecretBinary") or found.get("SecretString", "").encode())


def _named(error: ClientError, what: str) -> Exception:
    if is_busy(error):
        return TransientError(f"AWS was busy: {error}")
    code = error.response.get("Error", {}).get("Code", "")
    return HooksUnusableError(f"{what} cannot be read: {code}.")
