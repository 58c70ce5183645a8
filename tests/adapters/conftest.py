"""What the tests of the adapters share."""

from collections.abc import Iterator

import pytest

from local.emulator import Emulator


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator without a world around it, whose name servers would have to learn every zone."""
    running = Emulator(tmp_path_factory.mktemp("emulator"))
    yield running
    running.close()
