"""Who may do what: tokens and their scopes, sessions of browsers, and the rule of each route."""

from .cors import install_cors
from .door import DoorMiddleware
from .routes import router
from .rules import GUARDED, PUBLIC, GuardedRoute, requires
from .sessions import Sessions
from .tokens import Scope

__all__ = [
    "GUARDED",
    "PUBLIC",
    "DoorMiddleware",
    "GuardedRoute",
    "Scope",
    "Sessions",
    "install_cors",
    "requires",
    "router",
]
