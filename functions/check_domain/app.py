"""Looks at every server and address of a domain and says what is found; writes nothing."""

from datetime import UTC, datetime
from typing import Any

from mta_sts import wiring
from mta_sts.checks.discovery import discovered
from mta_sts.checks.judge import check
from mta_sts.checks.look_around import list_domains, look_around
from mta_sts.logs import logged, logger
from mta_sts.request import Request
from mta_sts.settings import Settings, region
from mta_sts.transient import retried_by_the_workflow

_LISTING_SECONDS = 35.0  # of the minute that this function has; the ledger is asked afterwards


@logged
@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"request", "execution", "settings"}`` → what was found (:func:`mta_sts.checks.judge.check`).

    With ``discover`` every domain of the account's zones (:func:`mta_sts.checks.discovery.discovered`).
    What cannot be looked at is found as that; raises InvalidRequestError, and TransientError where AWS was
    busy.
    """
    request, arn = Request.parse(event["request"]), event["execution"]["arn"]
    settings, now = Settings.from_dict(event["settings"], region()), datetime.now(UTC)

    def zones() -> Any:
        return wiring.zones(settings.dns_role_arn)

    if request.discover:
        listed = list_domains(zones, wiring.ledger, seconds=_LISTING_SECONDS)
        logger.info("listed", zones=listed.zones, domains=len(listed.sets))
        return discovered(listed, arn, now)
    sight = look_around(
        request.domain,
        settings,
        store=wiring.policy_store,
        zones=zones,
        cdn=wiring.cdn,
        ledger=wiring.ledger,
        ssm=wiring.parameters if settings.policy_locations_parameter else None,
        now=now,
    )
    outcome = check(request, sight, arn)
    logger.info("checked", alarms=outcome["alarms"])
    return outcome
