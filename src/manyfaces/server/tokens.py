"""Who may do what. A token is a secret that stands for a role; a role may do what the roles below it may.

Tokens come from a file or the environment, one a line: `role:token` or `role:token:2027-12-31`, the last day on which
it holds. They are kept as hashes and compared in constant time, all of them for every request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from manyfaces.errors import UsageError

ROLES = ("read", "enrol", "admin")
"""From the least to the most."""

SHORTEST = 16
"""Letters of a token; fewer can be guessed."""

SUBPROTOCOL = "manyfaces"
CARRIED = "bearer."
"""A browser can send no headers with a WebSocket. It offers the subprotocols `manyfaces` and `bearer.` followed by the
token in base64url without padding; the first is chosen, so the token never comes back."""

_LINE = re.compile(r"([a-z]+):(\S+?)(?::(\d{4}-\d{2}-\d{2}))?")


@dataclass(frozen=True, slots=True)
class Token:
    role: str
    digest: bytes
    last_day: date | None = None

    def may(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def holds(self, today: date) -> bool:
        return self.last_day is None or today <= self.last_day


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens of a server. None at all: everybody who reaches it may do everything."""

    known: tuple[Token, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.known)

    def find(self, given: str) -> Token | None:
        """The token that was given. Takes the same time whichever it is, and whether it is any."""
        digest = _digest(given)
        found = None
        for token in self.known:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    @classmethod
    def parse(cls, lines: Iterable[str], where: str) -> Tokens:
        """Empty lines and lines that begin with # say nothing."""
        stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
        return cls(tuple(_token(line, f"{where}, line {number}") for number, line in stripped if _says(line)))

    @classmethod
    def read(cls, path: Path) -> Tokens:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: the tokens cannot be read ({error}); give a text file you may read") from None
        tokens = cls.parse(text.splitlines(), str(path))
        if not tokens:
            raise UsageError(f"{path}: there is no token in it; write lines like  read:a-long-random-secret")
        return tokens


def _says(line: str) -> bool:
    return bool(line) and not line.startswith("#")


def _token(line: str, where: str) -> Token:
    """What is wrong is told without the line, which may hold a secret."""
    match = _LINE.fullmatch(line)
    if match is None or match[1] not in ROLES:
        raise UsageError(f"{where}: expected role:token or role:token:2027-12-31, the role {', '.join(ROLES)}")
    if len(match[2]) < SHORTEST:
        raise UsageError(f"{where}: the token has fewer than {SHORTEST} letters; make a long random one")
    return Token(match[1], _digest(match[2]), _day(match[3], where))


def _day(text: str | None, where: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"{where}: {text} is no date; write it like 2027-12-31") from None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def bearer(header: str) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def carried(subprotocols: Iterable[str]) -> str | None:
    """The token that a browser sends among the subprotocols of a WebSocket."""
    for offered in subprotocols:
        if offered.startswith(CARRIED):
            encoded = offered.removeprefix(CARRIED)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("utf-8")
            except (binascii.Error, ValueError):
                return None
    return None
