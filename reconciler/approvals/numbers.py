"""The numbers of the gate's list as words. Every refusal carries one; the conditions of this package use them."""

from __future__ import annotations

from typing import Final

POLICY_DENIES: Final = 0
"""Not a way around the gate: the repository's own policy says no."""

# Who approved
OWN_PULL_REQUEST: Final = 1
SAME_PERSON: Final = 2
NOT_A_PERSON: Final = 3
AGENTS_OWNER: Final = 4
SOMEBODY_ELSES_TOKEN: Final = 5
COMMITTED: Final = 6
CO_AUTHOR: Final = 7
PUSHED: Final = 8
ONLY_AN_ADDRESS: Final = 9
ANOTHER_ACCOUNT: Final = 10
ONLY_READS: Final = 11
NOT_SO_THEN: Final = 12
DELETED_ACCOUNT: Final = 13

# Is the approval about this thing
PUSH_AFTER_APPROVAL: Final = 16
OLD_COMMIT: Final = 17
LOOKED_AT_ANOTHER_PLAN: Final = 18
NO_LONGER_THE_LAST_WORD: Final = 19
DISMISSED_BY_ANOTHER: Final = 20
EDITED_TEXT: Final = 21
REPLAYED: Final = 22
REOPENED: Final = 23
TOO_OLD: Final = 24
FORCE_PUSH: Final = 25
RETARGETED: Final = 26
NOT_OPEN: Final = 27
PLAN_CHANGED_SINCE_MERGE: Final = 28
PLAN_CHANGED: Final = 29
PLAN_MISSING: Final = 30
PLAN_NOT_ASKED_FOR: Final = 31
ANOTHER_HEAD: Final = 32

# How it landed
DIRECT_PUSH: Final = 33
CONTENT_CHANGED_BY_LANDING: Final = 35
EVIL_MERGE: Final = 36
GROUPED: Final = 37
MERGED_WITHOUT_MERGE: Final = 38
REWIND: Final = 39
BETWEEN_ENDS: Final = 40
FORK: Final = 42
OTHER_REPOSITORY: Final = 43

# Rules about rules
RULES_AND_MORE: Final = 46
RULES_UNREADABLE: Final = 47
ANYONE_COMMENTS: Final = 49
BREAK_GLASS: Final = 56
NOT_LAST_APPROVED: Final = 57
HELD: Final = 58

# Transport, forge, engine
PAGES_MISSING: Final = 61
ANSWERS_DISAGREE: Final = 62
NO_ANSWER: Final = 63
AGENT_MERGED: Final = 64
ANOTHER_ENGINE: Final = 66
TWO_ENGINES: Final = 67
RECORD_CHANGED: Final = 68
CLOCKS: Final = 69
