"""The CI workflows, this repository's and the generated: least privilege and pinned actions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.answers import Answers, covering_set, name
from support.project import Bake
from support.tools import TEMPLATE, succeed

PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*")


def check(workflow: Path) -> None:
    """Insist on no permission but reading, on pinned actions and on no kept credentials."""
    text = workflow.read_text(encoding="utf-8")
    parsed: dict[str, Any] = yaml.safe_load(text)
    assert parsed["permissions"] == {}
    for job in parsed["jobs"].values():
        assert job.get("permissions", {}) in ({}, {"contents": "read"})
        assert "timeout-minutes" in job
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    for line in text.splitlines():
        assert "uses:" not in line or PINNED.search(line), line
    succeed("zizmor", "--offline", "--quiet", str(workflow.parents[1]))


def test_the_workflow_of_the_template_is_careful() -> None:
    check(TEMPLATE / ".github" / "workflows" / "ci.yml")


@pytest.mark.parametrize(
    "answers", [pytest.param(answers, id=name(answers)) for answers in covering_set()]
)
def test_the_generated_workflow_is_careful(bake: Bake, answers: Answers) -> None:
    check(bake(**answers).path / ".github" / "workflows" / "ci.yml")
