"""Exports: whole tables as files, as fast as they can be read and in flat memory."""

from fastapi import APIRouter

from .database import Database, metadata
#{% if cookiecutter.ndjson %}
from .items import router as items
#{% endif %}
#{% if cookiecutter.csv %}
from .users import router as users
#{% endif %}

router = APIRouter()
#{% if cookiecutter.ndjson %}
router.include_router(items)
#{% endif %}
#{% if cookiecutter.csv %}
router.include_router(users)
#{% endif %}

__all__ = ["Database", "metadata", "router"]
