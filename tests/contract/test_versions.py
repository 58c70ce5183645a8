"""A deployment with new code runs it: the state machine names versions, so there must be new ones."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from local import environments

ROOT = Path(__file__).parents[2]

# Runs in SAM's own environment: transforms the template as a deployment does.
TRANSFORM = """
import json, re, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

class NoPolicies:
    def load(self): return {}

def versions(code, layer):
    template = yaml_parse(open(sys.argv[1]).read())
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            properties["CodeUri"] = f"s3://bucket/{properties['CodeUri']}-{code}"
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            properties["ContentUri"] = f"s3://bucket/layer-{layer}"
        if "DefinitionUri" in properties:
            properties["DefinitionUri"] = "s3://bucket/definition"
    made = transform(template, {"LambdaRuntime": "python3.13"}, NoPolicies())
    return sorted(n for n, r in made["Resources"].items() if r["Type"] == "AWS::Lambda::Version")

print(json.dumps([versions("a", "a"), versions("b", "a"), versions("a", "b"), versions("a", "a")]))
"""


@pytest.fixture(scope="module")
def made() -> list[list[str]]:
    python = environments.executable("sam")
    env = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"}
    command = [str(python), "-c", TRANSFORM, str(ROOT / "template.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_every_function_has_a_version(made: list[list[str]]) -> None:
    assert len(made[0]) == len(list((ROOT / "functions").glob("*/app.py")))


def test_the_same_code_is_the_same_versions(made: list[list[str]]) -> None:
    assert made[3] == made[0]


@pytest.mark.parametrize("changed", [1, 2], ids=["the functions", "the layer alone"])
def test_changed_code_is_a_new_version_of_every_function(
    made: list[list[str]], changed: int
) -> None:
    assert not set(made[changed]) & set(made[0])
