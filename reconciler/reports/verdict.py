"""The policy's verdict as Markdown and as terminal text. Called by control and by `reconciler policy`."""

from __future__ import annotations

from reconciler.model.policy import WAIVER_DIGITS
from reconciler.model.verdict import Finding, Requirement, Severity, Verdict
from reconciler.reports.escape import code, inline, visible

MOST_FINDINGS = 40

HOW_TO_WAIVE = (
    "What is denied with a digest can be allowed, exactly as it is, by a change of the rules that comes first and "
    "alone: under waivers in its environment.yaml, each with its reason, these lines."
)


def headline(verdict: Verdict) -> str:
    """One sentence for a status."""
    if verdict.denied:
        more = f" (and {len(verdict.denied) - 1} more)" if len(verdict.denied) > 1 else ""
        return f"denied by {verdict.denied[0].rule}: {verdict.denied[0].text}{more}"
    needs = [needed(requirement) for requirement in verdict.requirements if requirement.approvals > 0]
    return f"allowed; needs {' and '.join(needs)}" if needs else "allowed; needs no approval"


def needed(requirement: Requirement) -> str:
    """A requirement in words."""
    count = "one approval" if requirement.approvals == 1 else f"{requirement.approvals} approvals"
    return f"{count} from {requirement.from_group}" if requirement.from_group else f"{count} by another person"


def finding_line(finding: Finding) -> str:
    """A finding as one line: rule, number in the gate's list, text, and where the rule, waiver or fault stands."""
    where = f" ({finding.location})" if finding.location is not None else ""
    number = f" [{finding.gate}]" if finding.gate is not None else ""
    return f"{finding.rule}{number}: {finding.text}{where}"


def waiver_line(finding: Finding) -> str:
    """What would have to stand in environment.yaml for exactly this to pass."""
    return f'- {{finding: {(finding.digest or "")[:WAIVER_DIGITS]}, why: "…"}}'


def ways_out(verdict: Verdict) -> list[str]:
    """How what was denied could be allowed, one line for each; empty where nothing of it can."""
    return [waiver_line(finding) for finding in verdict.denied if finding.digest is not None]


def weight(finding: Finding) -> int:
    """Denials first, and the commands of hooks last: of many findings only the first are shown."""
    return 0 if finding.severity is Severity.DENY else 2 if finding.rule == "hook" else 1


def verdict_markdown(verdict: Verdict) -> str:
    """Findings, denials first, then what is needed."""
    lines = [f"**{'Denied' if verdict.denied else 'Allowed'}**: {inline(headline(verdict))}"]
    findings = sorted(verdict.findings, key=weight)
    lines += [f"- {finding.severity}: {inline(finding_line(finding))}" for finding in findings[:MOST_FINDINGS]]
    if len(findings) > MOST_FINDINGS:
        lines.append(f"- and {len(findings) - MOST_FINDINGS} more findings")
    waivers = ways_out(verdict)[:MOST_FINDINGS]
    if waivers:
        lines += ["", HOW_TO_WAIVE, "", *(f"- {code(line)}" for line in waivers)]
    return "\n".join(lines)


def verdict_text(verdict: Verdict) -> str:
    """The same for a terminal."""
    lines = [headline(verdict), *(f"  {finding.severity} {finding_line(finding)}" for finding in verdict.findings)]
    lines += [f"  {line}" for line in ([HOW_TO_WAIVE, *ways_out(verdict)] if ways_out(verdict) else [])]
    lines += [f"  needs {needed(need)} ({need.rule})" for need in verdict.requirements if need.approvals > 0]
    return "\n".join(visible(line) for line in lines)
