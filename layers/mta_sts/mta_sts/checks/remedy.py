"""What to do about a drain that was disturbed: first that none is served, then that it has a fresh id."""

from mta_sts.checks.sight import Sight
from mta_sts.checks.standing import Standing
from mta_sts.policy import Mode, mode_of, read


def not_none(sight: Sight, seen: Standing) -> list[str]:
    """Say, address by address, what senders find in the place of the none that they need."""
    if not (seen.draining and seen.expects_none):
        return []
    look = sight.look
    wrong = [
        f"{row['address']} serves {row['found']}"
        for row in look["agreeing"]
        if row["mode"] != Mode.NONE.value
    ] + list(look["doubts"])
    return wrong if wrong or look["agreeing"] else [f"{look['host']} has no address"]


def again(sight: Sight, *, create: bool = False) -> str:
    """Name the request that turned MTA-STS off: sent again, it writes none and gives it a fresh id."""
    item = sight.item or {}
    due = item.get("due", {})
    if not item.get("current_id"):
        asked = "delete-record again, with publish_none: true"
    elif "retirement" in due:
        removes = due["retirement"].get("request", {}).get("remove_policy")
        asked = f"retire again{', with remove_policy: true' if removes else ''}"
    elif "restore" in due:
        asked = f"none-policy again, with restore_at: {due['restore']['at']}"
    else:
        asked = "none-policy again"
    created = (" and" if ":" in asked else ", with") + " create_policy: true" if create else ""
    then = "deletes the record" if not item.get("current_id") else "publishes a fresh id"
    return f"send {asked}{created}: it writes none, proves it and {then}"


def fresh_id(sight: Sight, seen: Standing) -> str:
    """Say how the id becomes a fresh one: change-id announces whatever is served, so first none has to be."""
    wrong = not_none(sight, seen)
    if not wrong:
        return "send change-id, which proves the policy, publishes a fresh id and keeps what is due"
    if _another(sight):
        return again(sight)
    return "mend the policy host; once it serves none everywhere, send change-id"


def _another(sight: Sight) -> bool:
    """Tell whether another policy is served, or would be by the object."""
    stored = sight.stored
    modes = {row["mode"] for row in sight.look["agreeing"]} - {"", Mode.NONE.value}
    return bool(modes) or (stored is not None and mode_of(read(stored.body)) != Mode.NONE.value)
