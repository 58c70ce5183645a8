"""No `*` in a permission without its reason on the line."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from local import environments

TEMPLATE = environments.ROOT / "template.yaml"
REASON = re.compile(r"\s#\s*\S")


def stars(template: Path) -> list[tuple[int, str, str]]:
    """Give line, value and rest of the line of every `*` in a statement."""
    done = subprocess.run(
        [environments.executable("sam"), "-I", Path(__file__).with_name("stars.py"), template],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


def without_reason(template: Path) -> list[str]:
    return [f"{line}: {value}" for line, value, rest in stars(template) if not REASON.search(rest)]


def test_every_star_has_its_reason() -> None:
    found = stars(TEMPLATE)
    assert len(found) > 3
    assert without_reason(TEMPLATE) == []


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ('Resource: "*"', False),
        ('Resource: "*" # the action knows no resource', True),
        ("Resource: arn:aws:s3:::b/*", False),
        ("Resource: !Sub arn:aws:s3:::${Bucket}/* # ids are known only afterwards", True),
        ('Resource: [a, "b#*"]', False),
        ('Resource: [a, "b*"] # reason', True),
        ("Resource: *anchored", True),
        ('Action: ["s3:*"]', False),
        ("Condition: {StringLike: {key: [_mta-sts.*]}}", False),
    ],
)
def test_a_star_is_found_wherever_it_stands(tmp_path: Path, line: str, *, ok: bool) -> None:
    template = tmp_path / "template.yaml"
    lines = ['AllowedPattern: "*"', "Name: &anchored arn", "Statement:", f"  - {line}"]
    template.write_text("\n".join(lines))
    assert (without_reason(template) == []) is ok
