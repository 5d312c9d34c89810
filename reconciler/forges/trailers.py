"""Who else shaped a commit, as its message says: the trailers, and the accounts that addresses carry. Pure."""

from __future__ import annotations

import re

# anywhere in the message and not only in git's last paragraph: what names one person more is not to be missed (gate 7)
TRAILER = re.compile(r"^[ \t]*(?:co-authored-by|suggested-by)[ \t]*:[ \t]*(\S.*?)[ \t]*$", re.I | re.M)
ADDRESS = re.compile(r"<([^<>\s]+)>\s*$|^(\S+@\S+)$")


def trailers(message: str) -> tuple[str, ...]:
    """The raw values of Co-authored-by and Suggested-by, in order, each once."""
    return tuple(dict.fromkeys(TRAILER.findall(message.replace("\r", "\n"))))


def address_of(value: str) -> str | None:
    """The e-mail address of a trailer's value, in lower case."""
    found = ADDRESS.search(value)
    return (found[1] or found[2]).lower() if found else None


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
