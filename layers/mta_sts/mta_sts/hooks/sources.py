"""Who may send deliveries, and what each of them may ask for: the configuration, as JSON in one parameter."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mta_sts.domains import DomainNameError, normalise
from mta_sts.hooks.expressions import Expression, ExpressionError
from mta_sts.hooks.formats import FIELDS, FORMATS
from mta_sts.incoming import json_object
from mta_sts.problems import Problem
from mta_sts.request import METHODS

_LARGEST = 65_536  # bytes; an SSM parameter has 8192 at most
_KNOWN = {"format", "secret", "domains", "methods", "when", "fields", "moment"}
_NEEDED = ("domain", "method")
_BELOW = "*."
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")  # what Secrets Manager puts after a name, in an ARN


class HooksUnusableError(Exception):
    """The hooks cannot be used as they are configured; the message says why and is for the log alone."""


@dataclass(frozen=True)
class Source:
    """A system that sends deliveries.

    ``secret`` names its key in Secrets Manager. ``domains`` are policy domains, or ``*.`` and a domain for
    those below it. ``moment`` gives when a delivery was signed; None where it bears no moment. ``own`` are
    the fields that the configuration maps itself, beside those of its format.
    """

    name: str
    secret: str
    domains: tuple[str, ...]
    methods: tuple[str, ...]
    fields: Mapping[str, Expression]
    moment: Expression | None
    when: Expression | None = None
    own: frozenset[str] = frozenset()

    def may_touch(self, domain: str) -> bool:
        """Tell whether a policy domain is in the source's list."""
        return any(
            domain.endswith(one.removeprefix("*")) if one.startswith(_BELOW) else domain == one
            for one in self.domains
        )


def parse(text: str) -> dict[str, Source]:
    """Read the configuration; raise HooksUnusableError naming every problem, for then no source is used."""
    try:
        found = json_object(text.encode("utf-8", "surrogatepass"), "application/json", _LARGEST)
    except Problem as problem:
        raise HooksUnusableError(f"The configuration is not usable: {problem.detail}") from problem
    problems: list[str] = []
    sources = {name: _source(name, given, problems) for name, given in found.items()}
    problems += _shared([source for source in sources.values() if source and source.secret])
    if problems:
        raise HooksUnusableError(f"The configuration is not usable: {'; '.join(problems)}.")
    return {name: source for name, source in sources.items() if source is not None}


def _source(name: str, given: object, problems: list[str]) -> Source | None:
    told: list[str] = []
    if not (name.isascii() and name.replace("-", "").isalnum() and name == name.lower()):
        told.append("its name has other characters than a-z, 0-9 and -")
    if not isinstance(given, Mapping):
        problems.append(f"{name!a}: it is no object")
        return None
    told += [f"unknown: {each!a}" for each in given if each not in _KNOWN]
    format_ = given.get("format")
    table = FORMATS.get(format_) if isinstance(format_, str) else None
    if table is None:
        told.append(f"format must be one of {', '.join(FORMATS)}")
    secret = given.get("secret")
    if not isinstance(secret, str) or not secret:
        told.append("secret must name a secret of Secrets Manager")
    domains = _domains(given.get("domains"), told)
    methods = _methods(given.get("methods", ["check"]), told)
    own = _own(given.get("fields", {}), told)
    texts = {**(table.fields if table else {}), **own}
    told += [f"fields: {each} is not mapped" for each in _NEEDED if table and not texts.get(each)]
    moment = given.get("moment", table.moment if table else "")
    source = Source(
        name=name,
        secret=secret if isinstance(secret, str) else "",
        domains=domains,
        methods=methods,
        fields=_expressions({field: text for field, text in texts.items() if text}, told),
        moment=_expression("moment", moment, told) if moment != "" else None,
        when=_expression("when", given["when"], told) if "when" in given else None,
        own=frozenset(field for field, text in own.items() if text),
    )
    problems += [f"{name!a}: {each}" for each in told]
    return source


def _shared(sources: list[Source]) -> list[str]:
    """Say which have one key: what is signed does not name the source, so each has the rights of both."""
    told = []
    for place, source in enumerate(sources):
        names = _names(source.secret)
        other = next((one for one in sources[:place] if names & _names(one.secret)), None)
        if other:
            told.append(
                f"{source.name!a}: its secret is that of {other.name!a}; each needs its own"
            )
    return told


def _names(secret: str) -> set[str]:
    """Give what a secret may be called, for it may be given by name, by ARN, and by ARN without its end."""
    name = secret.rpartition(":secret:")[2] if secret.startswith("arn:") else ""
    return {name, _SUFFIX.sub("", name)} if name else {secret}


def _domains(given: object, told: list[str]) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        told.append("domains must be a list of domains, or of *. and a domain")
        return ()
    found = []
    for one in given:
        below = _BELOW if one.startswith(_BELOW) else ""
        try:
            found.append(below + normalise(one.removeprefix(below)))
        except DomainNameError as error:
            told.append(f"domains: {error}")
    return tuple(found)


def _methods(given: object, told: list[str]) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(one in METHODS for one in given):
        told.append(f"methods must be a list of some of {', '.join(METHODS)}")
        return ()
    return tuple(given)


def _own(given: object, told: list[str]) -> dict[str, str]:
    if not isinstance(given, Mapping) or not all(isinstance(one, str) for one in given.values()):
        told.append("fields must be an object of expressions")
        return {}
    # Above all none by which a caller vouches for something, accepts a risk or widens what is done.
    told += [f"fields: {one!a} is not for hooks" for one in given if one not in FIELDS]
    return dict(given)


def _expressions(texts: Mapping[str, str], told: list[str]) -> dict[str, Expression]:
    found = {field: _expression(f"fields: {field}", text, told) for field, text in texts.items()}
    return {field: one for field, one in found.items() if one is not None}


def _expression(where: str, text: Any, told: list[str]) -> Expression | None:
    if not isinstance(text, str):
        told.append(f"{where} must be a JMESPath expression")
        return None
    try:
        return Expression(text)
    except ExpressionError as error:
        told.append(f"{where}: {' '.join(str(error).split())}")
        return None
