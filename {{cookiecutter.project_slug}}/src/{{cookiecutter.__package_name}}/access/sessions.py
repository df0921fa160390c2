"""Sessions of browsers, which send a cookie where a page can add no token."""

from secrets import token_bytes

from itsdangerous import BadSignature, TimestampSigner

from .tokens import Scope, Tokens

NAME_DIGITS = 16
READING = frozenset({Scope.EVENTS, Scope.EXPORT})


class Sessions:
    """Signs who signed in, and reads it for `seconds`.

    A session is as good as its token: it ends when the token is taken away. It never publishes,
    since a browser sends it along unasked. Without a `secret` sessions end with this process.
    """

    def __init__(self, tokens: Tokens, secret: str | None, seconds: int) -> None:
        self.seconds = seconds
        self._scopes = {name_of(known): scopes & READING for known, scopes in tokens.items()}
        self._signer = TimestampSigner(secret or token_bytes(32), salt="session")

    def sign(self, known: str) -> str:
        """Return the session of the token with that hash."""
        return self._signer.sign(name_of(known)).decode()

    def granted(self, session: str) -> frozenset[Scope] | None:
        """Return the scopes of `session`; `None` if it was not signed here, or too long ago."""
        try:
            name = self._signer.unsign(session, max_age=self.seconds).decode()
        except BadSignature:
            return None
        return self._scopes.get(name)


def name_of(known: str) -> str:
    """Return what a session calls the token with that hash."""
    return known[-NAME_DIGITS:]
