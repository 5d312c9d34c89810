"""Odd inputs from ordinary ones: values of JSON and bytes, changed at random and always the same for one seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from random import Random
from typing import Any

NUMBERS = (0, -1, 1, 2, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e308, float("inf"), float("nan"))
TEXTS = (
    "", " ", "\0", "\ud800", "é", "\u202e", "a" * 5000, "../../etc/passwd", "/", "~", "$", "$$", "${A", "null", "true",
    "0x10", "1e9", "2026-02-30T25:00:00Z", "2026-01-05T12:00:00", "refs/heads/", "sha256:", "\r\n", "\u2028", "-", "--",
    "[]", "{}", "&a *a", "!!python/object:os.system x", "99999999999999999999", "<a@b>", "[bot]", "/reconciler reject",
    "%s%n", "0" * 40, "f" * 40, "F" * 40, "open", "closed", "read", "write", "none",
)  # fmt: skip
PIECES = (b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"[" * 3000, b'{"a":' * 2000, b"9" * 5000, b"&a [*a,*a]", b"<<: *a",
          b"- - - ", b"\xef\xbb\xbf", b"---\n", b"? ", b": ", b"!!binary ", b"\t", b'"', b"'", b"\\", b"1e999999",
          b"%YAML 9.9\n")  # fmt: skip


class Mutator:
    """Changes of ordinary inputs; `seeds` of bytes are also cut up and put together."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def value(self, whole: Any) -> Any:
        """A JSON value with one to three places of it changed; the same kind of value stays more often than not."""
        for _ in range(self.chance.randint(1, 3)):
            whole = self._changed(whole)
        return whole

    def _changed(self, value: Any) -> Any:
        if isinstance(value, dict) and value and self.chance.random() < 0.9:
            key = self.chance.choice(list(value))
            changed = dict(value)
            match self.chance.randrange(8):
                case 0:
                    del changed[key]
                case 1:
                    changed[self.chance.choice(TEXTS)] = value[key]
                case _:
                    changed[key] = self._changed(value[key])
            return changed
        if isinstance(value, list) and value and self.chance.random() < 0.9:
            place = self.chance.randrange(len(value))
            match self.chance.randrange(8):
                case 0:
                    return value[:place] + value[place + 1 :]
                case 1:
                    return value + [value[place]] * self.chance.choice((1, 2, 150))
                case _:
                    return [*value[:place], self._changed(value[place]), *value[place + 1 :]]
        return self.scalar(value)

    def scalar(self, value: Any, kind: bool = False) -> Any:
        """Another scalar; with `kind` always one of the same kind, and one that Go's JSON can hold."""
        if kind or self.chance.random() < 0.6:
            if isinstance(value, bool):
                return not value
            if isinstance(value, int | float):
                return self.chance.choice([n for n in NUMBERS if isfinite(n)] if kind else NUMBERS)
            if isinstance(value, str):
                text = self.chance.choice((*TEXTS, value[:-1], value + "x", value.upper(), value * 2))
                return text if text.isprintable() or not kind else value
            if kind:
                return value
        return self.chance.choice((None, True, False, *NUMBERS, *TEXTS, [], {}, [[]], [None], {"": None}, {"id": {}}))

    def same_kinds(self, value: Any) -> Any:
        """A model with one place changed, and every place of the kind that it was."""
        if isinstance(value, dict) and value:
            key = self.chance.choice(list(value))
            return {**value, key: self.same_kinds(value[key])}
        if isinstance(value, list) and value:
            place = self.chance.randrange(len(value))
            return [*value[:place], self.same_kinds(value[place]), *value[place + 1 :]]
        return self.scalar(value, kind=True)

    def data(self, whole: bytes, others: Sequence[bytes] = ()) -> bytes:
        """Bytes with one to three places of them changed."""
        for _ in range(self.chance.randint(1, 3)):
            place = self.chance.randint(0, len(whole))
            length = self.chance.choice((0, 1, 1, 2, 8, 64))
            match self.chance.randrange(5):
                case 0:
                    new = self.chance.choice(PIECES)
                case 1:
                    new = bytes([self.chance.randrange(256)])
                case 2 if others:
                    other = self.chance.choice(others)
                    start = self.chance.randint(0, len(other))
                    new = other[start : start + self.chance.choice((4, 40, 400, 40_000))]
                case 3:
                    new = whole[place : place + length] * 2
                case _:
                    new = b""
            whole = whole[:place] + new + whole[place + length :]
        return whole

    def json(self, value: Any) -> bytes:
        """A JSON document, odd in what it says or in its bytes."""
        written = json.dumps(self.value(value)).encode()
        return self.data(written) if self.chance.random() < 0.2 else written
