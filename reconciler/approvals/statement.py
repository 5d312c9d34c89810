"""What a person signs where consent is signed: the text that binds it to one change and no other. Called by control,
and by the command line that has it signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.model.target import Target

NAMESPACE = "reconciler-approval"
"""Of the SSH signature (PROTOCOL.sshsig), so that no signature made for something else fits."""

ARMORED = re.compile(r"-----BEGIN SSH SIGNATURE-----[A-Za-z0-9+/=\s]{1,16000}-----END SSH SIGNATURE-----")


def statement(
    repository: int, pull_request: int, head_sha: str, base_ref: str, digests: Iterable[tuple[Target, str]]
) -> bytes:
    """Lines that a person can read; the same consent is the same bytes. `repository` is the forge's id."""
    plans = [f"plan {target} {digest}" for target, digest in sorted(digests)]
    lines = [
        "reconciler approval",
        f"repository {repository}",
        f"pull request {pull_request}",
        f"head {head_sha}",
        f"base {base_ref}",
        *plans,
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def signature_in(body: str) -> str | None:
    """The armored signature in a comment, None where there is none."""
    found = ARMORED.search(body.replace("\r\n", "\n"))
    return f"{found.group(0)}\n" if found is not None else None
