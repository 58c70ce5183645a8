"""How long verify_record takes where many servers are slow, or one is dead."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local.bench.fresh import Fresh
from local.bench.slow_servers import serving

SERVERS, ANSWER_SECONDS = 8, 0.1
RESOLVERS = 3  # as many as the template names
# That of layers/mta_sts/mta_sts/adapters/dns.py.
TIMEOUT_SECONDS = 3.0
SLOW = (ANSWER_SECONDS,) * SERVERS
ONE_DEAD = (*SLOW[1:], None)
REPETITIONS = 15


def slow_seconds(fresh: Fresh, event: Any, variables: Mapping[str, str]) -> float:
    """Return how long a warm call takes where every name server takes ANSWER_SECONDS."""
    return _warm_seconds(fresh, event, variables, SLOW, REPETITIONS)


def dead_seconds(fresh: Fresh, event: Any, variables: Mapping[str, str]) -> float:
    """Return how long a warm call takes where one name server never answers."""
    return _warm_seconds(fresh, event, variables, ONE_DEAD, 1)


def _warm_seconds(
    fresh: Fresh,
    event: Any,
    variables: Mapping[str, str],
    delays: Sequence[float | None],
    repetitions: int,
) -> float:
    record = event["plan"]["record"]
    with serving(
        record["zone"], record["name"], record["new"], delays=delays, resolvers=RESOLVERS
    ) as reached:
        network = event["plan"]["network"] | {
            "resolvers": reached.resolvers,
            "dns_port": reached.port,
        }
        asked = {
            **event,
            "plan": event["plan"] | {"network": network},
            "since": datetime.now(UTC).isoformat(),
        }
        told = fresh.call("VerifyRecord", asked, variables, again=repetitions)
    _import, _first, *later = told.seconds
    # The quickest: what slows some calls and not others is the machine.
    return min(later)
