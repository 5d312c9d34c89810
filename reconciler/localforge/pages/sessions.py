"""Who is signed in to the web pages. Kept in memory: a restart signs everybody out."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from reconciler.localforge.access import Caller
from reconciler.localforge.forge import Forge
from reconciler.localforge.records import Token

MOST_SESSIONS = 1000
COOKIE = "localforge_session"


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie stands for: a token by its id, never its value, and the secret that forms must carry."""

    token_id: int
    form_key: str

    def matches(self, given: str) -> bool:
        """Whether a form carries this session's secret (compared in constant time)."""
        return hmac.compare_digest(self.form_key.encode(), given.encode())


class Sessions:
    """Sessions by the random key in the cookie; the oldest goes when there are too many."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, caller: Caller) -> str:
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[key] = Session(caller.token.id, secrets.token_urlsafe(32))
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return key

    def close(self, key: str) -> None:
        with self._lock:
            self._sessions.pop(key, None)

    def find(self, forge: Forge, key: str | None) -> tuple[Session, Caller] | None:
        """The session of a cookie and its account; None when it is unknown or the token is no longer valid."""
        with self._lock:
            session = self._sessions.get(key) if key else None
        if session is None:
            return None
        token = forge.database.find(Token, id=session.token_id)
        user = forge.user(token.user_id) if token is not None else None
        if token is None or user is None:
            return None
        return session, Caller(user, token)
