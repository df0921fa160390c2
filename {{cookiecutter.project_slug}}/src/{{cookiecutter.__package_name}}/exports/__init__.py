"""Exports: whole tables as files, as fast as they can be read and in flat memory."""

from fastapi import APIRouter

#{% if cookiecutter.ndjson and cookiecutter.csv %}
from . import items, users
#{% elif cookiecutter.ndjson %}
from . import items
#{% else %}
from . import users
#{% endif %}
from .database import Database, metadata

router = APIRouter()
#{% if cookiecutter.ndjson %}
router.include_router(items.router)
#{% endif %}
#{% if cookiecutter.csv %}
router.include_router(users.router)
#{% endif %}

__all__ = ["Database", "metadata", "router"]
