"""What a repository says about single findings: a waiver names one by its digest, and lets exactly that pass.

Waivers are read from the rules that judge, never from what is proposed. Called by evaluation.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.model.canonical import digest
from reconciler.model.policy import WAIVER_DIGITS, Waiver
from reconciler.model.target import EnvironmentName
from reconciler.model.verdict import Finding, Severity
from reconciler.policy.contents.catalogue import Discovery
from reconciler.policy.request import TargetFacts
from reconciler.policy.rules.images import names

RULES_AND_MORE = 46

Waivers = Mapping[EnvironmentName, tuple[Waiver, ...]]
"""The waivers of every environment that the judging rules know; one that is not in it is new to them."""


def finding_digest(environment: EnvironmentName, check: str, subject: str, value: Any) -> str:
    """SHA-256 over the canonical form of exactly what was found: environment, check, service or volume, value."""
    return digest({"environment": str(environment), "check": check, "subject": subject, "value": value})


def finding_of(environment: EnvironmentName, found: Discovery, model: Mapping[str, Any]) -> Finding:
    """A discovery as a finding of its environment, with its digest and what to do.

    The digest covers the repository of the service's image (not its tag): a waiver for a proxy's socket is not one for
    whatever else is later put in its place.
    """
    check = found.check
    value = {"key": found.key, "value": found.value, "image": image_of(found.subject, model)}
    named = finding_digest(environment, check.name, found.subject, value) if check.severity is Severity.DENY else None
    text = f"{environment}: {' '.join(found.text.split())}"
    if named is not None:
        text = with_way_out(text, check.advice, named)
    return Finding(check.name, check.severity, text, gate=check.gate, digest=named)


def with_way_out(text: str, advice: str, named: str) -> str:
    """What to do about a denial: the better way, or the line that allows exactly this."""
    return f"{text}; {advice}, or waive exactly this with finding: {named[:WAIVER_DIGITS]}"


def image_of(subject: str, model: Mapping[str, Any]) -> str:
    """The full repository name of a service's image; nothing for what is no service."""
    word, _, name = subject.partition(" ")
    services = model.get("services") if word == "service" else None
    service = services.get(name) if isinstance(services, Mapping) else None
    image = service.get("image") if isinstance(service, Mapping) else None
    return names(image)[-1] if isinstance(image, str) and image else ""


def waived(findings: Sequence[Finding], environment: EnvironmentName, waivers: Waivers) -> Iterator[Finding]:
    """The findings of one environment, those that a waiver names as notes."""
    own = waivers.get(environment, ())
    for finding in findings:
        waiver = next((each for each in own if fits(each, finding)), None)
        if waiver is None or finding.severity is not Severity.DENY:
            yield finding
        else:
            text = f"{finding.text.rpartition('; ')[0]}; waived: {waiver.why}"
            yield replace(finding, severity=Severity.NOTE, text=text, location=waiver.location, waived=True)


def fits(waiver: Waiver, finding: Finding) -> bool:
    """Whether a waiver names this finding."""
    return finding.digest is not None and finding.digest.startswith(waiver.finding)


def about_waivers(subject: TargetFacts, findings: Sequence[Finding], waivers: Waivers) -> Iterator[Finding]:
    """What is to say of the waivers that a change would leave: those of a new environment were accepted by nobody, and
    those that fit nothing wait for somebody to use them.
    """
    environment = subject.target.environment_name
    if environment not in waivers and subject.proposed:
        text = (
            f"{environment}: a new environment brings waivers; add it without them, then them in a change of their own"
        )
        yield Finding("new-waivers", Severity.DENY, text, subject.proposed[0].location, RULES_AND_MORE)
    for waiver in subject.proposed:
        if not any(fits(waiver, finding) for finding in findings):
            text = (
                f"{environment}: the waiver {waiver.finding[:12]}… fits nothing that is found here; "
                "it lets its finding pass as soon as somebody proposes it, so remove it unless that is what it is for"
            )
            yield Finding("unused-waiver", Severity.NOTE, text, waiver.location)
