"""Hooks of schemathesis, loaded through `SCHEMATHESIS_HOOKS`: requests that it cannot send."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_query(_: schemathesis.HookContext, query: dict[str, Any] | None) -> bool:
    """Leave out topics and ids of other types than text.

    They would be sent as text, which is valid (`topic: null` as the topic "null", `last_event_id:
    {}` as an empty one), but be reported as invalid requests that the service accepted.
    """
    query = query or {}
    topics = query.get("topic", [])
    is_topics = isinstance(topics, list) and all(isinstance(topic, str) for topic in topics)
    return is_topics and isinstance(query.get("last_event_id", ""), str)
