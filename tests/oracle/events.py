"""What the oracle is told: the events of a pull request, and who is who. Made by history.py, read by rule.py."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to the pull request, at a second of the forge's clock, by an account."""

    at: int
    kind: str
    by: str
    head: str = ""  # the head after a move, the commit that a review is on, the head that a plan is for
    base: str = ""  # the base after opening or retargeting, the base that a plan is for
    names: tuple[str, ...] = ()  # of a move: whom the commits up to this head name, "?…" for nobody we know
    updates: tuple[str, ...] = ()  # of a move: those heads up to this one that only brought the base in
    review: int = 0  # of a review or a comment, and of what is done to it: its number
    comment: bool = False  # said in a comment, as a command, and not by a review
    plan: str = ""  # the digest that is shown, or that the live state asks for, or that somebody quotes
    clean: bool = True  # of an update or a merge: the tree is the merge of the two sides, and no more
    account: str = ""  # whose role was changed


@dataclass(frozen=True, slots=True)
class House:
    """Who is who, and what this environment asks for."""

    people: Mapping[str, str]  # account: person, for the persons of the group that is asked for
    owners: Mapping[str, str]  # agent's account: the person who owns it
    need: int = 1
    quoted: bool = False
    owner_may: bool = False
    branch: str = "main"
    delay: int = 30
    lives: int = 72 * 3600
