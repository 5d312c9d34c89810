"""The doors through which something from outside comes in. Each gets odd inputs, may refuse them in the package's own
words, and may do nothing else: no other exception, and no open gate. Called by `python -m tests.fuzz` and by the tests.
"""

from __future__ import annotations

from tests.fuzz import forge, hosts, records, repository
from tests.fuzz.door import Door

DOORS: tuple[Door, ...] = (*forge.DOORS, *hosts.DOORS, *repository.DOORS, *records.DOORS)
