"""Answers the API: starts runs, shows them, and says how domains stand."""

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from mta_sts import api, calls, logs, problems
from mta_sts.calls import Call
from mta_sts.logs import logged, logger
from mta_sts.problems import Problem

app = APIGatewayRestResolver()


@app.get(
    "/domains",
    summary="List domains",
    description="The domains that a run has ever claimed, by name; of one phase, if that is given.",
    operation_id="listDomains",
)
def list_domains() -> Response[str]:
    """List domains."""
    return _reply(api.list_domains(Call.of(app.current_event.raw_event)))


@app.get(
    "/domains/<domain>",
    summary="Show a domain",
    description="The three answers as the last confirmed run has recorded them: is MTA-STS off and for whom,"
    " may the MX records change, what if it went wrong. Nothing is looked up: a check does that.",
    operation_id="showDomain",
)
def show_domain(domain: str) -> Response[str]:
    """Show a domain."""
    logs.add(domain=domain)
    return _reply(api.show_domain(Call.of(app.current_event.raw_event), domain))


@app.post(
    "/domains/<domain>/runs",
    summary="Start a run",
    description="Starts an execution of the workflow. With dry_run it waits for the plan and answers with"
    " it; its digest, as approved_plan, binds a later run to exactly that plan.",
    operation_id="startRun",
)
def start_run(domain: str) -> Response[str]:
    """Start a run."""
    logs.add(domain=domain)
    return _reply(api.start_run(Call.of(app.current_event.raw_event), domain))


@app.get(
    "/domains/<domain>/runs",
    summary="List a domain's runs",
    description="The latest runs of a domain, the last first; dry runs leave no trace.",
    operation_id="listRuns",
)
def list_runs(domain: str) -> Response[str]:
    """List a domain's runs."""
    logs.add(domain=domain)
    return _reply(api.list_runs(Call.of(app.current_event.raw_event), domain))


@app.get(
    "/domains/<domain>/runs/<run>",
    summary="Show a run",
    description="The states done with their times, what is waited for and until when, the outcome with its"
    " evidence, or the error.",
    operation_id="showRun",
)
def show_run(domain: str, run: str) -> Response[str]:
    """Show a run."""
    logs.add(domain=domain)
    return _reply(api.show_run(Call.of(app.current_event.raw_event), domain, run))


@app.not_found
def not_found(_error: Exception) -> Response[str]:
    """Say what is not there, or which methods are."""
    event = app.current_event
    return _reply(problems.answer(calls.no_route(event.http_method, event.path)))


@app.exception_handler(Problem)  # type: ignore[untyped-decorator]
def refused(problem: Problem) -> Response[str]:
    """Answer with the problem."""
    return _reply(problems.answer(problem))


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def failed(error: Exception) -> Response[str]:
    """Answer that it was our fault, and with nothing of the inside."""
    logger.error("failed", exc_info=error)
    return _reply(problems.answer(api.unforeseen(error)))


def _reply(answer: dict[str, Any]) -> Response[str]:
    return Response(answer["statusCode"], body=answer["body"], headers=answer["headers"])


@logged
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An event of API Gateway (REST, payload 1.0) → its answer."""
    if not calls.is_plain(event["path"]):
        return problems.answer(calls.nowhere())  # before the routes, which look past a final slash
    return app.resolve(event, context)
