"""Middleware as plain ASGI: nothing between a stream and its client."""

#{% if cookiecutter.request_id %}
from .request_id import RequestIdMiddleware
#{% endif %}
#{% if cookiecutter.security_headers %}
from .security_headers import SecurityHeadersMiddleware
#{% endif %}

#{% if cookiecutter.request_id and cookiecutter.security_headers %}
__all__ = ["RequestIdMiddleware", "SecurityHeadersMiddleware"]
#{% elif cookiecutter.request_id %}
__all__ = ["RequestIdMiddleware"]
#{% else %}
__all__ = ["SecurityHeadersMiddleware"]
#{% endif %}
