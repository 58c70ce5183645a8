"""Every refusal and failure by name; the workflow ends in ``Fail`` with the class name as ``Error``.

Step Functions matches names exactly, so the hierarchy stays flat. A message says what was found,
where, and what to do next.
"""

from collections.abc import Sequence


class MtaStsError(Exception):
    """A refusal or failure that this project foresees."""


class InvalidRequestError(MtaStsError):
    """The input is not one that can be carried out; every problem is listed, in ``problems`` one by one."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class ZoneNotFoundError(MtaStsError):
    """No public hosted zone of the account holds the name of the record."""


class ZoneNotDelegatedError(MtaStsError):
    """A hosted zone exists, but the DNS delegates the name to other servers."""


class DnsUnreachableError(MtaStsError):
    """No server that could tell gave a usable answer; each is named with what happened."""


class RecordConflictError(MtaStsError):
    """The record set is none that can be changed as a whole, or a wildcard would take its place."""


class ExposureTooLongError(MtaStsError):
    """Without the record, senders would keep a policy for longer than is accepted."""


class PolicyNotFoundError(MtaStsError):
    """There is no policy object."""


class PolicyUnreadableError(MtaStsError):
    """The policy object exists and cannot be read or safely rewritten."""


class PolicyNotServedError(MtaStsError):
    """Some address of the policy host does not serve the policy object."""


class ConcurrentChangeError(MtaStsError):
    """Somebody changed the object or the record set after the plan; nothing was overwritten."""


class DomainBusyError(MtaStsError):
    """Another execution holds the domain, or one that was cut short may be at work still."""


class PlanChangedError(MtaStsError):
    """The approved plan is not what would be done today."""


class SupersededError(MtaStsError):
    """What was due is not due any more: another run came after it, or it was delivered twice."""


class DrainDisturbedError(MtaStsError):
    """While senders let go, policy or record were changed: the record must not be withdrawn."""


class DrainNotOverError(MtaStsError):
    """Some sender may still hold a policy; the message ends in ``Not before <moment>.``"""


class NothingToRestoreError(MtaStsError):
    """The ledger has saved no policy of this domain."""


class RestoreWouldLoseMailError(MtaStsError):
    """No MX host of the domain satisfies the policy that was to be put back."""


class PropagationTimeoutError(MtaStsError):
    """A change was not seen everywhere within the deadline."""


class TransientError(MtaStsError):
    """AWS was busy or out of reach; the workflow tries again, and fails by this name if that persists."""
