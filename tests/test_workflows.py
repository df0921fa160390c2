"""CI workflows of the template and of generated projects: least privilege, pinned actions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.answers import Answers, covering_set, name
from support.project import Render
from support.tools import TEMPLATE, succeed

PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*")


def check(workflow: Path) -> None:
    """Check that a workflow only reads, pins its actions and keeps no credentials."""
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
        # Without it, an audit that knows none of the packages passes.
        assert "pip-audit" not in line or "--strict" in line, line
    succeed("zizmor", "--offline", "--quiet", str(workflow.parents[1]))


def test_template_workflow_is_secure() -> None:
    check(TEMPLATE / ".github" / "workflows" / "ci.yml")


@pytest.mark.parametrize("answers", covering_set(), ids=name)
def test_generated_workflow_is_secure(render: Render, answers: Answers) -> None:
    check(render(answers).path / ".github" / "workflows" / "ci.yml")
