"""The prompts: their order, their defaults and their labels."""

import json
from typing import Any

import pytest
from packaging.requirements import Requirement

import pre_gen_project
from support.answers import FACTORS, covering_set, every_variant, mattering, pairs, valid
from support.project import Bake
from support.tools import TEMPLATE

PROMPTS: dict[str, Any] = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
ASKED = {name: default for name, default in PROMPTS.items() if not name.startswith("_")}


def test_the_prompts_come_in_the_promised_order_with_the_promised_defaults() -> None:
    texts = ("project_name", "project_slug", "description", "author_name")

    assert list(ASKED) == [*texts, *FACTORS]
    assert ASKED["project_name"] == "Streaming API"
    assert ASKED["author_name"] == "Your Name"
    for name, values in FACTORS.items():
        assert ASKED[name] == (list(values) if isinstance(values[0], str) else values[0])


def test_every_prompt_has_a_label_and_so_has_every_choice() -> None:
    labels = PROMPTS["__prompts__"]

    assert list(labels) == list(ASKED)
    for name, default in ASKED.items():
        if isinstance(default, list):
            assert list(labels[name]) == ["__prompt__", *default]


def test_the_hook_accepts_what_the_prompts_offer() -> None:
    choices = {name: tuple(offer) for name, offer in ASKED.items() if isinstance(offer, list)}
    booleans = tuple(name for name, offer in ASKED.items() if isinstance(offer, bool))

    assert choices == pre_gen_project.CHOICES
    assert booleans == pre_gen_project.BOOLEANS


@pytest.mark.parametrize(
    ("project_name", "slug"),
    [
        ("Streaming API", "streaming-api"),
        ("L'API d'été", "l-api-d-ete"),
        ("流媒体 接口", "liu-mei-ti-jie-kou"),
        ("واجهة البث", "wjh-lbth"),
        ("2024 API", "api"),
        ("🎉", "streaming-api"),
        ("'''", "streaming-api"),
    ],
)
def test_the_default_slug_follows_from_any_name(bake: Bake, project_name: str, slug: str) -> None:
    project = bake(project_name=project_name)

    assert project.slug == slug


@pytest.mark.parametrize("answers", covering_set()[:4])
def test_no_dependency_can_be_taken_as_a_slug(bake: Bake, answers: dict[str, object]) -> None:
    pyproject = bake(**answers).pyproject
    groups = (item for group in pyproject["dependency-groups"].values() for item in group)
    listed = [item for item in groups if isinstance(item, str)]

    names = {Requirement(item).name for item in [*pyproject["project"]["dependencies"], *listed]}

    assert {name.replace("-", "_").lower() for name in names} <= pre_gen_project.DEPENDENCIES


def test_the_covering_set_is_small_and_holds_every_pair_of_answers() -> None:
    chosen = covering_set()

    assert set().union(*map(pairs, chosen)) == set().union(*map(pairs, valid()))
    assert len(chosen) <= 12


def test_the_variants_are_the_combinations_that_change_files() -> None:
    distinct = {
        tuple(mattering(answers).items()) for answers in valid() if answers["license"] == "MIT"
    }

    assert len(every_variant()) == len(distinct) == 152
