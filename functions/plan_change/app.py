"""Decides everything a run will do; writes nothing."""

from datetime import UTC, datetime
from typing import Any

from mta_sts import notices, wiring
from mta_sts.logs import logged, logger
from mta_sts.plan import Waits
from mta_sts.planning import build
from mta_sts.request import Request
from mta_sts.settings import Settings, region
from mta_sts.survey import survey
from mta_sts.transient import retried_by_the_workflow


@logged
@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"request", "execution", "settings"}`` → ``{"plan", "notice"}``.

    The plan is a :class:`mta_sts.plan.Plan`; the notice (:mod:`mta_sts.notices`) tells it where it was all
    that was asked for, and is None where it is carried out.
    """
    request = Request.parse(event["request"])
    settings, now = Settings.from_dict(event["settings"], region()), datetime.now(UTC)
    found = survey(
        request,
        settings,
        store=wiring.policy_store(),
        zones=wiring.zones(settings.dns_role_arn),
        cdn=wiring.cdn,
        ledger=wiring.ledger(),
        look_at=wiring.look_at,
        live_mx=wiring.live_mx,
        ssm=wiring.parameters() if settings.policy_locations_parameter else None,
        now=now,
    )
    plan = build(
        request,
        found,
        waits=Waits(
            settings.deadline_seconds,
            settings.first_pause_seconds,
            settings.unseen_change_seconds,
        ),
        max_policy_age_seconds=settings.max_policy_age_seconds,
        other_cache_seconds=settings.other_cache_seconds,
        drain_margin_seconds=settings.drain_margin_seconds,
        network=settings.network.to_dict(),
        dns_role_arn=settings.dns_role_arn,
        now=now,
    )
    logger.info("planned", plan=plan.digest)
    notice = notices.planned(plan, request, event["execution"]["arn"], now)
    return {"plan": plan.to_dict(), "notice": notice if plan.dry_run else None}
