"""The policy's verdict as Markdown and as terminal text. Called by control and by `reconciler policy`."""

from __future__ import annotations

from reconciler.model.verdict import Finding, Requirement, Severity, Verdict
from reconciler.reports.escape import inline, visible

MOST_FINDINGS = 40


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
    """A finding as one line: rule, text, and where the rule or the fault stands."""
    where = f" ({finding.location})" if finding.location is not None else ""
    number = f" [{finding.gate}]" if finding.gate is not None else ""
    return f"{finding.rule}{number}: {finding.text}{where}"


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
    return "\n".join(lines)


def verdict_text(verdict: Verdict) -> str:
    """The same for a terminal."""
    lines = [headline(verdict), *(f"  {finding.severity} {finding_line(finding)}" for finding in verdict.findings)]
    lines += [f"  needs {needed(need)} ({need.rule})" for need in verdict.requirements if need.approvals > 0]
    return "\n".join(visible(line) for line in lines)
