"""Real senders need ports 53 and 443, so these tests run in a network namespace: `make test-senders`.

Anywhere else they are not collected: making a namespace needs root, which `make test` does without.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import deploy
from local.lab import Lab
from tests.senders import mutated, namespace
from tests.senders.sender import Sender

collect_ignore_glob = [] if namespace.is_inside() else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def _network() -> None:
    """Let the tests have a loopback interface; a new namespace has it down."""
    namespace.open_loopback()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab of all tests here, on the ports that senders ask."""
    with Lab(dns_port=53, https_port=443) as running:
        yield running


@pytest.fixture(scope="module")
def id_before_policy() -> Iterator[Lab]:
    """A lab with the wrong version of the product that changes the id before the policy."""
    root = Path(os.environ[mutated.FOLDER]) / "id-before-policy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "deploy", functools.partial(deploy.deploy, root=root))
        running = Lab(dns_port=53, https_port=443)
    with running:
        yield running


@pytest.fixture
def sender(lab: Lab, tmp_path: Path) -> Iterator[Sender]:
    """A sender in that lab, for this test alone."""
    with Sender(lab, tmp_path) as running:
        yield running
