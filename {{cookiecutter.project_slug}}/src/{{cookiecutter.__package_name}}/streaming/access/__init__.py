"""Authentication and authorization: tokens with scopes, sessions, and a rule for every route."""

from .authentication import TokenBackend
from .dependencies import GUARDED, PUBLIC, Caller, Requires, requires
from .hosts import HostMiddleware
from .sessions import Sessions
from .sessions import router as session_routes
from .tokens import Scope

__all__ = [
    "GUARDED",
    "PUBLIC",
    "Caller",
    "HostMiddleware",
    "Requires",
    "Scope",
    "Sessions",
    "TokenBackend",
    "requires",
    "session_routes",
]
