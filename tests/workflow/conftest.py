"""What the tests of the workflow share."""

import re
import zlib

import pytest


@pytest.fixture
def domain(request: pytest.FixtureRequest) -> str:
    """A domain for this test alone, named after it: tests share a lab.

    Short enough for the name of a bucket, `mta-sts.` in front.
    """
    node = request.node.nodeid
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    return f"{words[:30].strip('-')}-{zlib.crc32(node.encode()):08x}.example"
