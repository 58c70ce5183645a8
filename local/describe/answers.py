"""The API's answers as JSON Schema: what is always there, and of which type."""

from typing import Any

from mta_sts.adapters.register import PHASES

Schema = dict[str, Any]


def _null(kind: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more}


def _object(properties: Schema, *, open_: bool = False, **more: Any) -> Schema:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": open_,
        **more,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_MOMENT = {"type": "string", "format": "date-time"}
_NO_MOMENT = _null("string", format="date-time")
_TEXT, _NO_TEXT = {"type": "string"}, _null("string")
_STANDING = {
    "enum": ["on", "off", "half changed", "unknown", None],
    "description": "How the last run that held the domain left it; null where there was none.",
}
_HOLDER = _null(
    "object",
    description="The run that is at work on the domain, or null.",
    required=["run", "since"],
    properties={"run": _TEXT, "since": _NO_MOMENT},
)
_PHASE = {
    "type": "string",
    "enum": list(PHASES),
    "description": "on; draining: off, but some sender may still hold an older policy; off: for every sender;"
    " retired: off, and the record is gone; unsettled: no run was confirmed yet.",
}
_STATE = _object(
    {
        "state": _TEXT,
        "from": _MOMENT,
        "to": _NO_MOMENT,
        "found": _NO_TEXT,
        "ready": _null("boolean", description="false: a look that found it not there yet"),
        "failed": {"type": "boolean"},
    }
)
_RUN = {
    "run": _TEXT,
    "domain": _TEXT,
    "method": _NO_TEXT,
    "dry_run": {"type": "boolean"},
    "status": {
        "type": "string",
        "enum": ["running", "succeeded", "failed", "stopped", "timed out"],
    },
    "started_at": _MOMENT,
    "ended_at": _NO_MOMENT,
    "requested_by": _NO_TEXT,
    "ticket": _NO_TEXT,
    "ticket_id": _NO_TEXT,
    "reason": _NO_TEXT,
    "subject": _NO_TEXT,
    "text": _null(
        "string", description="What people read: state, risk, next action, then details."
    ),
    "waiting": _null(
        "object",
        description="The state that a running run is in, what it waits for, and until when.",
        required=["state", "for", "until"],
        properties={"state": _TEXT, "for": _NO_TEXT, "until": _NO_MOMENT},
    ),
    "states": _list(_STATE),
    "states_complete": {
        "type": "boolean",
        "description": "false: the states are not shown here, were too many, or are forgotten.",
    },
    "plan": _null(
        "object",
        description="Of a dry run: what would be done; its digest is what approved_plan takes.",
        required=["digest", "summary", "steps", "warnings", "policy", "record"],
    ),
    "outcome": {
        "description": "The execution's output, or what the ledger has kept of it; null until then."
    },
    "evidence": _null(
        "object", description="What each server and address said, and what was not asked."
    ),
    "error": _null("object", required=["name", "text"], properties={"name": _TEXT, "text": _TEXT}),
}
_SHORT_RUN = _object(
    {
        "run": _TEXT,
        "method": _NO_TEXT,
        "status": _TEXT,
        "started_at": _MOMENT,
        "ended_at": _NO_MOMENT,
        "subject": _NO_TEXT,
        "error": _NO_TEXT,
        "changed": _NO_TEXT,
        "alarms": {"type": ["array", "null"], "items": _TEXT},
        "requested_by": _NO_TEXT,
        "ticket": _NO_TEXT,
    }
)
_DONE = {"again": {"type": "boolean", "description": "The run was there before."}, "href": _TEXT}

SCHEMAS: Schema = {
    "Run": _object(_RUN),
    "FinishedRun": _object({**_RUN, **_DONE}),
    "StartedRun": _object(
        {
            "run": _TEXT,
            "domain": _TEXT,
            "method": _TEXT,
            "dry_run": {"type": "boolean"},
            **_DONE,
        }
    ),
    "Runs": _object({"domain": _TEXT, "runs": _list(_SHORT_RUN)}),
    "Domain": _object(
        {
            "domain": _TEXT,
            "phase": _PHASE,
            "now": _MOMENT,
            "text": _NO_TEXT,
            "answers": _object(
                {
                    "basis": _TEXT,
                    "as_of": _NO_MOMENT,
                    "hold": {
                        "type": "boolean",
                        "description": "false: nothing was answered yet, or a later run has changed something"
                        " and was not confirmed.",
                    },
                    "off": _null(
                        "object", description="Is MTA-STS off: for which senders, from when."
                    ),
                    "mx": _null("object", description="May the MX records change, and from when."),
                    "trouble": {
                        "type": "object",
                        "description": "What to do if it went wrong.",
                        "required": ["state", "mail_at_risk"],
                        "properties": {"state": _STANDING, "mail_at_risk": _null("boolean")},
                    },
                    "every_sender_has_let_go": {"type": "boolean"},
                }
            ),
            "all_off_at": _NO_MOMENT,
            "moments": _null("object"),
            "current_id": _NO_TEXT,
            "held_by": _HOLDER,
            "due": _list(_object({"kind": _TEXT, "at": _MOMENT})),
            "last_check": {"anyOf": [_SHORT_RUN, {"type": "null"}]},
            "runs": _list(_SHORT_RUN),
        }
    ),
    "Domains": _object(
        {
            "domains": _list(
                _object(
                    {
                        "domain": _TEXT,
                        "phase": _PHASE,
                        "all_off_at": _NO_MOMENT,
                        "next_due_at": _NO_MOMENT,
                        "held_by": _HOLDER,
                        "last": _null(
                            "object", required=["state"], properties={"state": _STANDING}
                        ),
                    }
                )
            ),
            "next": _null(
                "string", description="The address of the next page; null after the last."
            ),
        }
    ),
    "Problem": _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
        },
        open_=True,
        description="Problem details (RFC 9457): problems lists every one of a bad request; run names the one"
        " that holds the domain, or that was refused.",
    ),
    "Refused": {
        "type": "object",
        "required": ["message"],
        "description": "What the emulator's gateway says; on AWS it is problem details as well.",
    },
}
