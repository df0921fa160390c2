"""The prompts and the variants: order, defaults, labels and pairs of answers."""

import json
from typing import Any

import pytest

import pre_gen_project
from support.answers import (
    DEFAULT,
    FACTORS,
    RECIPES,
    SMALLEST,
    covering_set,
    flips,
    is_valid,
    name,
    normal,
    pairs,
    uses,
    valid,
    variants,
)
from support.project import Bake
from support.tools import TEMPLATE

PROMPTS: dict[str, Any] = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
ASKED = {name: default for name, default in PROMPTS.items() if not name.startswith("_")}


def test_prompts_have_the_documented_order_and_defaults() -> None:
    texts = ("project_name", "project_slug", "description", "author_name")

    assert list(ASKED) == [*texts, *FACTORS]
    assert ASKED["project_name"] == "Streaming API"
    assert ASKED["author_name"] == "Your Name"
    for prompt, values in FACTORS.items():
        assert ASKED[prompt] == (list(values) if isinstance(values[0], str) else values[0])


def test_prompts_and_choices_have_labels() -> None:
    labels = PROMPTS["__prompts__"]

    assert list(labels) == list(ASKED)
    for prompt, default in ASKED.items():
        if isinstance(default, list):
            assert list(labels[prompt]) == ["__prompt__", *default]


def test_hook_accepts_every_choice_of_the_prompts() -> None:
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
        (f"{'a' * 62} {'b' * 62}", "a" * 62),
    ],
)
def test_slug_follows_from_any_name(bake: Bake, project_name: str, slug: str) -> None:
    project = bake(project_name=project_name)

    assert project.slug == slug


def test_uses_follow_from_the_answers() -> None:
    assert [use for use, used in uses(SMALLEST).items() if used] == ["csv", "exports", "sqlite"]
    assert all(uses(DEFAULT)[use] for use in ("sse", "memory", "exports", "sqlite", "tokens"))
    assert not any(uses(DEFAULT)[use] for use in ("redis", "postgresql", "client", "replicas"))


def test_answers_that_do_not_matter_change_no_use() -> None:
    for answers in variants():
        for flipped in flips(answers):
            assert uses(normal(flipped)) == uses(flipped)


def test_covering_set_has_every_pair_of_answers() -> None:
    chosen = covering_set()

    assert chosen[:2] == [DEFAULT, SMALLEST]
    assert set().union(*map(pairs, chosen)) == set().union(*map(pairs, valid()))
    assert len(chosen) <= 16


def test_variants_are_valid_distinct_and_few() -> None:
    listed = variants()

    assert all(map(is_valid, listed))
    assert len({name(answers) for answers in listed}) == len(listed) <= 66
    assert {name(normal(recipe)) for recipe in RECIPES.values()} == RECIPES.keys()
    for recipe in (*RECIPES.values(), *covering_set()):
        assert normal(recipe) in listed
