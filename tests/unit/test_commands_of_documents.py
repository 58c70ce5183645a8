"""How commands are taken out of documents, and what they print is held to what is written there."""

import pytest

from tests.workflow.commands import Block, agrees, blocks

DOCUMENT = """Some words.

```sh
a=1
```

```sh
echo "$a"
```

```text
1
```

```sh elsewhere
make deploy
```

```text
2
```
"""


def test_blocks_that_can_be_run_are_found_with_what_they_print() -> None:
    assert blocks(DOCUMENT) == [Block("a=1\n", None), Block('echo "$a"\n', "1\n")]


@pytest.mark.parametrize(
    ("printed", "expected", "answer"),
    [
        ("one\n", "one\n", True),
        ("one\ntwo\n", "one\n", False),
        ("one two three\n", "one … three\n", True),
        ("one two four\n", "one … three\n", False),
        ("one\ntwo\nthree\nfour\n", "one\n…\nfour\n", True),
        ("one\nfour\n", "one\n…\nfour\n", True),
        ("one\ntwo\n", "one\n…\nfour\n", False),
        ("[a]\n", "[a]\n", True),
        ("aaa\n", "a…\n", True),
        ("", "one\n", False),
    ],
)
def test_what_is_printed_is_held_to_what_is_expected(
    printed: str,
    expected: str,
    answer: bool,  # noqa: FBT001 - a row of the table above
) -> None:
    assert agrees(printed, expected) is answer
