"""Stand-ins for what surrounds the policy hosts and the senders: S3, CloudFront, time, DNS."""

import socketserver
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from local.world.cdn import Invalidation
from local.world.web import AccessDenied, StoredObject


class FakeObjects:
    """Buckets in memory."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], StoredObject | AccessDenied] = {}

    def get(self, bucket: str, key: str) -> StoredObject | AccessDenied | None:
        return self._stored.get((bucket, key))

    def put(
        self,
        bucket: str,
        key: str,
        body: str,
        *,
        content_type: str = "text/plain",
        cache_control: str | None = None,
    ) -> None:
        self._stored[bucket, key] = StoredObject(body.encode(), content_type, cache_control)

    def deny(self, bucket: str, key: str) -> None:
        self._stored[bucket, key] = AccessDenied()

    def delete(self, bucket: str, key: str) -> None:
        del self._stored[bucket, key]


class FakeInvalidations:
    """Invalidations that stay in progress until they are completed by hand."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Invalidation]] = {}
        self._completed: set[str] = set()

    def create(self, distribution_id: str, *paths: str) -> str:
        identity = f"I{len(self._known) + 1}"
        self._known[identity] = (distribution_id, Invalidation(identity, paths))
        return identity

    def complete(self, identity: str) -> None:
        self._completed.add(identity)

    def completed(self, distribution_id: str) -> list[Invalidation]:
        return [
            each
            for distribution, each in self._known.values()
            if distribution == distribution_id and each.id in self._completed
        ]


class FakeClock:
    """A time that moves only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeResolver:
    """A resolver on loopback, over UDP, that answers from `records` and keeps nothing.

    `broken` names get SERVFAIL. `before_answer` is called with the name and type of each question.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.broken: set[str] = set()
        self.before_answer: Callable[[str, str], None] = lambda _name, _kind: None
        self._server = _Server(self)
        self.endpoint = self._server.server_address

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.before_answer(name, kind)
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif values := self.records.get((name, kind)):
            response.answer.append(dns.rrset.from_text_list(question.name, 5, "IN", kind, values))
        return response


class _Server(socketserver.ThreadingUDPServer):
    server_address: tuple[str, int]

    def __init__(self, resolver: FakeResolver) -> None:
        self.resolver = resolver
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        data, connection = self.request
        answer = self.server.resolver.answer(dns.message.from_wire(data))
        # In the order of `records`, which dnspython would shuffle.
        connection.sendto(answer.to_wire(want_shuffle=False), self.client_address)
