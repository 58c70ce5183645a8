"""The CloudFront distribution in front of a policy host."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_cloudfront import CloudFrontClient
    from types_boto3_cloudfront.type_defs import DistributionSummaryTypeDef


class Cdn:
    """Finds distributions by alias and invalidates paths."""

    def __init__(self, client: "CloudFrontClient") -> None:
        self._cloudfront = client

    def find(self, host: str) -> str | None:
        """Give the id of the enabled distribution with ``host`` as alias, exactly or by wildcard."""
        by_wildcard = None
        for distribution in self._distributions():
            aliases = distribution.get("Aliases", {}).get("Items", [])
            if not distribution["Enabled"]:
                continue
            if host in aliases:
                return distribution["Id"]
            if _wildcard(host) in aliases:
                by_wildcard = distribution["Id"]
        return by_wildcard

    def _distributions(self) -> "Iterator[DistributionSummaryTypeDef]":
        # No paginator: to load the first one takes longer than three of these questions.
        page = self._cloudfront.list_distributions()["DistributionList"]
        yield from page.get("Items", ())
        while page["IsTruncated"]:
            page = self._cloudfront.list_distributions(Marker=page["NextMarker"])[
                "DistributionList"
            ]
            yield from page.get("Items", ())

    def serves(self, distribution_id: str, host: str) -> bool:
        """Tell whether a distribution is there, enabled, and has ``host`` as alias, or its wildcard."""
        try:
            answer = self._cloudfront.get_distribution(Id=distribution_id)
        except self._cloudfront.exceptions.NoSuchDistribution:
            return False
        config = answer["Distribution"]["DistributionConfig"]
        aliases = config.get("Aliases", {}).get("Items", [])
        return config["Enabled"] and (host in aliases or _wildcard(host) in aliases)

    def invalidate(self, distribution_id: str, paths: list[str], reference: str) -> str:
        """Begin to invalidate ``paths``; return the invalidation's id.

        The same reference and paths give the earlier invalidation again, so a retry costs nothing;
        its status in that answer may be the one of then, so ask :meth:`completed`.
        """
        answer = self._cloudfront.create_invalidation(
            DistributionId=distribution_id,
            InvalidationBatch={
                "Paths": {"Quantity": len(paths), "Items": paths},
                "CallerReference": reference,
            },
        )
        return answer["Invalidation"]["Id"]

    def completed(self, distribution_id: str, invalidation_id: str) -> bool:
        """Tell whether an invalidation has reached every edge."""
        answer = self._cloudfront.get_invalidation(
            DistributionId=distribution_id, Id=invalidation_id
        )
        return answer["Invalidation"]["Status"] == "Completed"


def _wildcard(host: str) -> str:
    return "*." + host.partition(".")[2]
