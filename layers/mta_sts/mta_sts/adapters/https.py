"""Ask the addresses of a policy host for its policy, as a sender would (RFC 8461 section 3.3).

Whatever goes wrong on the way becomes an outcome with a readable detail, here and nowhere else.
"""

from __future__ import annotations

import http.client
import math
import os
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError

from mta_sts.adapters.route import has_route
from mta_sts.instants import stamp
from mta_sts.policy_check import Fetched, Outcome

if TYPE_CHECKING:
    from urllib3 import HTTPResponse

    from mta_sts.settings import Network

__all__ = ["NO_IPV6_ROUTE", "Fetched", "fetch", "fetch_all"]

NO_IPV6_ROUTE = "no IPv6 route"
POLICY_PATH = "/.well-known/mta-sts.txt"
POLICY_LIMIT = 65_536  # RFC 8461 section 3.3 suggests that senders read no more
SECONDS = 20.0  # a third of the minute that RFC 8461 section 3.3 suggests to senders

_HTTPS_PORT = 443
_TRIES = 2
_AT_ONCE = 16  # more than the addresses CloudFront gives for a name
_SHOWN = 200  # characters of a header's value or a certificate's name
_NAMES_SHOWN = 3
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, unnamed in ssl


class _Refused(IntEnum):
    """Why OpenSSL refused: X509_V_ERR_ codes of <openssl/x509_vfy.h>."""

    NOT_YET_VALID = 9
    EXPIRED = 10
    OTHER_HOST = 62


# From the same list: no issuer found, self-signed, issuer not at hand, leaf not verifiable.
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})


@dataclass(frozen=True)
class _Question:
    host: str
    address: str
    network: Network
    path: str = POLICY_PATH
    limit: int = POLICY_LIMIT
    seconds: float = SECONDS


@dataclass(frozen=True)
class _Validity:
    not_before: str
    not_after: str
    ended: bool
    names: tuple[str, ...]


def fetch(
    host: str,
    address: str,
    network: Network,
    *,
    path: str = POLICY_PATH,
    limit: int = POLICY_LIMIT,
    seconds: float = SECONDS,
) -> Fetched:
    """Get ``https://HOST/PATH`` from exactly ADDRESS and report what came, never raising for it.

    TLS 1.2 or later, SNI and a certificate for HOST (subject alternative names only, a wildcard
    only as the complete left-most label) that ``network.ca_file`` or the system's store trusts.
    No redirect is followed, no proxy used, no cookie kept. LIMIT is in bytes of the body. SECONDS
    bounds everything from connecting to the last byte, with the one new try after a connection
    that broke; an answer, whatever it says, is never asked for again.

    Raises OSError when ``network.ca_file`` cannot be read, ValueError when ADDRESS is none.
    """
    context = _senders_context(network.ca_file)
    return _fetch(_Question(host, address, network, path, limit, seconds), context)


def fetch_all(
    host: str, addresses: Sequence[str], network: Network, *, seconds: float = SECONDS
) -> list[Fetched]:
    """Ask all ADDRESSES at once (16 at a time), as :func:`fetch` does; same order as ADDRESSES."""
    if not addresses:
        return []
    context = _senders_context(network.ca_file)
    questions = [_Question(host, address, network, seconds=seconds) for address in addresses]
    with ThreadPoolExecutor(min(_AT_ONCE, len(questions))) as threads:
        return list(threads.map(lambda question: _fetch(question, context), questions))


class _TlsSocket(ssl.SSLSocket):
    """A TLS socket whose reads all end at one moment.

    A time-out begins anew with each read, so a server that drips one byte a second would hold us
    for hours.
    """

    ends: float = math.inf  # of the monotonic clock

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(_left(self.ends))
        return super().recv_into(buffer, nbytes, flags)


def _left(ends: float) -> float:
    """Give the seconds until ENDS; raise TimeoutError when it has passed."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _senders_context(ca_file: str) -> ssl.SSLContext:
    """Check certificates as RFC 8461 section 3.3 and RFC 6125 ask.

    Not ``ssl.create_default_context``: from Python 3.13 on it is stricter than senders are, and
    it would change its mind with the runtime.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # requires a certificate for the host
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.sslsocket_class = _TlsSocket
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs()
    return context


def _fetch(question: _Question, context: ssl.SSLContext) -> Fetched:
    if not has_route(question.address):
        return Fetched(question.address, "not asked", reached=False, detail=NO_IPV6_ROUTE)
    ends = time.monotonic() + question.seconds
    fetched, broken = _try(question, context, ends)
    if broken:  # a load balancer that drops one connection is no news
        fetched, _ = _try(question, context, ends)
    return fetched


def _try(question: _Question, context: ssl.SSLContext, ends: float) -> tuple[Fetched, bool]:
    """Ask once; also tell whether the connection broke, so that asking again may help."""
    reached = False
    try:
        with closing(_connect(question, ends)) as plain:
            reached = True
            with closing(_secure(plain, question, context, ends)) as tls:
                return _ask(question, tls), False
    except (OSError, HTTPError, http.client.HTTPException) as error:
        cause = _cause(error)
        outcome, detail = _explain(cause, question, ends)
        broken = isinstance(cause, ConnectionError | ssl.SSLEOFError)
        return Fetched(question.address, outcome, reached=reached, detail=detail), broken


def _connect(question: _Question, ends: float) -> socket.socket:
    return socket.create_connection(
        (question.address, question.network.https_port), timeout=_left(ends)
    )


def _secure(
    plain: socket.socket, question: _Question, context: ssl.SSLContext, ends: float
) -> _TlsSocket:
    tls = cast(
        "_TlsSocket",
        context.wrap_socket(plain, server_hostname=question.host, do_handshake_on_connect=False),
    )
    tls.ends = ends
    try:
        tls.settimeout(_left(ends))  # bounds the whole handshake, not each read of it
        tls.do_handshake()
    except BaseException:
        tls.close()
        raise
    return tls


def _ask(question: _Question, tls: _TlsSocket) -> Fetched:
    """Send the request over the verified connection TLS and read the answer."""
    not_after = _peer(tls).not_after
    host = question.host
    if question.network.https_port != _HTTPS_PORT:
        host = f"{host}:{question.network.https_port}"
    # One connection, no pool or manager: nothing that could follow, retry or use a proxy.
    connection = HTTPSConnection(
        question.address, question.network.https_port, timeout=_left(tls.ends)
    )
    connection.sock = tls
    with closing(connection):
        connection.request(
            "GET",
            question.path,
            # No Cache-Control: senders send none, and what they are served is what counts.
            headers={"Host": host, "Accept-Encoding": "identity", "User-Agent": "mta-sts-off"},
            preload_content=False,
            decode_content=False,
        )
        with closing(connection.getresponse()) as response:
            body = _read(response, question.limit + 1)
            headers = response.headers
            encoding = _shown(headers.get("Content-Encoding", ""))
            return Fetched(
                address=question.address,
                outcome="answered",
                status=response.status,
                media_type=_shown(headers.get("Content-Type", "")),
                body=body[: question.limit],
                too_large=len(body) > question.limit,
                content_encoding="" if encoding.lower() == "identity" else encoding,
                location=_shown(headers.get("Location", "")),
                certificate_not_after=not_after,
                age=_seconds(headers.get("Age", "")),
                cache_control=_shown(headers.get("Cache-Control", "")),
                x_cache=_shown(headers.get("X-Cache", "")),
            )


def _read(response: HTTPResponse, most: int) -> bytes:
    """Read at most MOST bytes; asking until nothing comes lets urllib3 notice a short body."""
    body = b""
    while len(body) < most and (part := response.read(most - len(body))):
        body += part
    return body


def _cause(error: Exception) -> BaseException:
    """Find what urllib3 wrapped."""
    cause: BaseException = error
    while isinstance(cause, HTTPError) and cause.__cause__ is not None:
        cause = cause.__cause__
    return cause


def _explain(error: BaseException, question: _Question, ends: float) -> tuple[Outcome, str]:
    """Turn every error of ssl, urllib3, http.client and socket into an outcome and its detail."""
    match error:
        case ssl.SSLCertVerificationError():
            return "certificate", _explain_certificate(error, question, ends)
        case TimeoutError():
            detail = f"timed out after {question.seconds:g} seconds"
        case ssl.SSLEOFError():
            detail = "connection closed during the TLS handshake"
        case ssl.SSLError():
            reason = (error.reason or str(error)).replace("_", " ").lower()
            detail = f"no TLS 1.2 or later on port {question.network.https_port} ({reason})"
        case http.client.RemoteDisconnected():
            detail = "connection closed without an answer"
        case ConnectionRefusedError():
            detail = "connection refused"
        case ConnectionError():
            detail = "connection broken"
        case OSError():
            detail = os.strerror(error.errno).lower() if error.errno else str(error)
        case http.client.IncompleteRead():
            detail = "the answer broke off before its end"
        case _:
            detail = f"the answer is not valid HTTP ({type(error).__name__})"
    return "no answer", detail


def _explain_certificate(
    error: ssl.SSLCertVerificationError, question: _Question, ends: float
) -> str:
    if error.verify_code in _UNKNOWN_ISSUER:
        return f"unknown issuer ({error.verify_message})"
    match error.verify_code, _look_again(question, ends):
        case _Refused.EXPIRED, _Validity(ended=True, not_after=date):
            return f"expired on {date}"
        case _Refused.EXPIRED, _Validity():
            return "a certificate of its issuers has expired"
        case _Refused.NOT_YET_VALID, _Validity(not_before=date):
            return f"not valid before {date}"
        case _Refused.OTHER_HOST, _Validity(names=names):
            return f"not valid for {question.host}; it names {_list(names)}"
    return error.verify_message


def _look_again(question: _Question, ends: float) -> _Validity | None:
    """Connect once more to read the dates and names of a refused certificate, for the message only.

    The ssl module shows no certificate that it refused. Its issuer is verified here as well, only
    dates and names are let pass, and nothing is asked over this connection.
    """
    context = _senders_context(question.network.ca_file)
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    try:
        with (
            closing(_connect(question, ends)) as plain,
            closing(_secure(plain, question, context, ends)) as tls,
        ):
            return _peer(tls)
    except OSError:
        return None  # the first refusal still stands, with less to say about it


def _peer(tls: ssl.SSLSocket) -> _Validity:
    certificate = cast("dict[str, Any]", tls.getpeercert())  # verified, so it is there
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    return _Validity(
        not_before=_timestamp(ssl.cert_time_to_seconds(certificate["notBefore"])),
        not_after=_timestamp(ends),
        ended=ends < time.time(),
        names=tuple(_shown(name) for _, name in certificate.get("subjectAltName", ())),
    )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN]) or "no host"
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _timestamp(seconds: float) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))


def _seconds(age: str) -> int | None:
    """Read an Age header (RFC 9111 section 5.1); None when absent or not a number."""
    age = age.strip()
    return int(age) if age.isascii() and age.isdigit() and len(age) <= len("31557600") else None


def _shown(value: str) -> str:
    """Make what a server sent fit for a terminal and for evidence that has a size limit."""
    clean = "".join(char if char.isprintable() else "?" for char in value)
    return clean if len(clean) <= _SHOWN else clean[: _SHOWN - 1] + "…"
