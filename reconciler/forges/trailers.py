"""Who else shaped a commit, as its message says: the trailers, and the accounts that addresses carry. Pure."""

from __future__ import annotations

import re

# anywhere in the message and not only in git's last paragraph: what names one person more is not to be missed (gate 7).
# What is blank around the value is stripped below: an expression for it takes hours on a message made for that.
TRAILER = re.compile(r"^[ \t]*(?:co-authored-by|suggested-by)[ \t]*:(.*)$", re.I | re.M)


def trailers(message: str) -> tuple[str, ...]:
    """The raw values of Co-authored-by and Suggested-by, in order, each once."""
    values = (value.strip() for value in TRAILER.findall(message.replace("\r", "\n")))
    return tuple(dict.fromkeys(value for value in values if value))


def address_of(value: str) -> str | None:
    """The e-mail address of a trailer's value, in lower case: what stands in brackets at its end, or all of it."""
    text = value.strip()
    opening = text.rfind("<")
    inner = text[opening + 1 : -1] if opening >= 0 and text.endswith(">") else ""
    if inner and ">" not in inner and len(inner.split()) == 1 and inner == inner.strip():
        return inner.lower()
    return text.lower() if "@" in text[1:-1] and len(text.split()) == 1 else None


def noreply_account(address: str, hosts: tuple[str, ...]) -> int | str | None:
    """The id in ID+LOGIN@users.noreply.HOST, else the login in LOGIN@users.noreply.HOST, else None.

    https://docs.github.com/en/account-and-profile/reference/email-addresses-reference
    """
    name, at, host = address.rpartition("@")
    if not at or host not in {f"users.noreply.{known}" for known in hosts}:
        return None
    number, plus, login = name.partition("+")
    if plus:
        return int(number) if re.fullmatch(r"[0-9]{1,18}", number) and login else None
    return name or None
