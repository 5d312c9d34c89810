"""The list of ways around an approval: what becomes of each, and how. Read by the reference and by `make gate`.

Numbers are for ever. What looks at a number is found from the code itself; here stands what no code says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.pull_request import Capability


class Answer(StrEnum):
    """What becomes of an attack."""

    PREVENTED = "prevented"
    DETECTED = "detected"
    OUT_OF_SCOPE = "out-of-scope"


@dataclass(frozen=True, slots=True)
class Way:
    """One way around an approval. `how` says in a sentence what stands against it, or why nothing does; `needs` is what
    a forge has to be able to say (without it consent has to be signed, or the gate stays shut).
    """

    number: int
    title: str
    answer: Answer
    how: str
    needs: Capability | None = None


P, D, O = Answer.PREVENTED, Answer.DETECTED, Answer.OUT_OF_SCOPE  # noqa: E741 - three columns of a table

GROUPS = (
    (1, "Who approved"),
    (16, "Is the approval about this thing"),
    (33, "How it landed"),
    (46, "Rules about rules"),
    (60, "Transport, forge, engine"),
    (70, "What the change really contains"),
)
"""The first number of each group, and its name."""

WAYS = (
    Way(1, "The author approves their own pull request", P, "Who opened it is excluded by account, whatever the forge allows."),
    Way(2, "The author approves from another account, or one person approves twice", P, "All accounts of a person are one person; two approvals need two."),
    Way(3, "A bot, an app, an agent or a stranger approves", P, "Only accounts that principals.yaml registers as people count, by their id."),
    Way(4, "Who stands behind an agent approves what it wrote", P, "The owner is excluded where the environment does not say otherwise, and then the comment says so."),
    Way(5, "The approval is made with a person's token by somebody else", P, "Where consent is signed: an SSH signature by a registered key over exactly this change. Where it is not, the forge cannot tell them apart: give agents accounts of their own."),
    Way(6, "The reviewer committed to the pull request", P, "Authors and committers of every commit are excluded; one that nobody knows asks for one more person."),
    Way(7, "The reviewer is a co-author, or a suggestion of theirs was applied", P, "Trailers of all commits and of the landing are read; unknown addresses ask for one more person."),
    Way(8, "The one who pushed is none of those whom the commits name", P, "The forge's log of every push since the branch was made, and its force-push events, name contributors; a push by nobody asks for one more person.", Capability.ACTIVITY),
    Way(9, "A forged author e-mail address", P, "What nobody verified only takes approvers away."),
    Way(10, "A login that was renamed or taken over", P, "Accounts are ids; a role counts only where its answer names the same id."),
    Way(11, "The reviewer may only read", P, "The role is read afresh, and write is the least that counts.", Capability.ROLES),
    Way(12, "The reviewer was removed or demoted since, or made a writer afterwards", P, "Role and person are judged now, and as they were when the approval was first seen.", Capability.ROLES),
    Way(13, "The account of the reviewer or of the author is gone", P, "Nobody can be told apart from nobody: refused."),
    Way(14, "Teams and CODEOWNERS played with", P, "Neither is read; groups are those of principals.yaml."),
    Way(15, "The approver reports to the author", O, "Only the direct owner of an agent is known; who leads whom is an organisation's to say."),
    Way(16, "A push after the approval", P, "A review is bound to its commit, a command to the plan of its head.", ),
    Way(17, "An approval of an old commit, or of none", P, "The same binding; a commit that the forge has lost never counts."),
    Way(18, "Look at A, click when it is B", P, "The plan stood there for the consent delay before the click, or the word names its digest."),
    Way(19, "An approval that was superseded, dismissed, or contradicted", P, "The last decisive word of an account counts, and a dismissal never falls back."),
    Way(20, "Somebody else dismisses, edits or deletes the objection", P, "It still stands, unless one more person approves.", Capability.TIMELINE),
    Way(21, "Somebody edits the plan comment, or a comment that approves", P, "Text and time are compared with what the ledger holds; an edited command is none."),
    Way(22, "A consent replayed for another pull request, environment or host", P, "Consent is to repository, pull request, head, base and plan digest, and a signature is over all five."),
    Way(23, "A pull request reopened after the approval", P, "Reopening voids what was said before.", Capability.TIMELINE),
    Way(24, "An old approval kept warm", P, "It is worth 72 hours; the time in which windows kept everything closed does not count."),
    Way(25, "A force-push from A to B and back to A", P, "Any force-push voids what was said before.", Capability.TIMELINE),
    Way(26, "The base branch is changed", P, "Only the deploy branch deploys; a change of the base voids what was said before.", Capability.TIMELINE),
    Way(27, "A draft, or a closed pull request", P, "Both are read live; neither is a proposal."),
    Way(28, "The base moved, and the plan made at the landed revision is another one", P, "The plan is made again after the merge; another digest waits for consent to it."),
    Way(29, "The hosts changed between the approval and now", P, "Under the host's lock the plan is made again; another digest cancels the deployment."),
    Way(30, "No plans is not success", P, "What has to be planned is computed from git first; a plan that is missing refuses."),
    Way(31, "Approve X, then apply Y", P, "A plan for anything else than what git says is refused; nothing takes arguments at apply."),
    Way(32, "Plans of several commits in one pull request", P, "Each plan holds its head; those of other heads are not looked at."),
    Way(33, "A direct push", P, "Every commit since the last verified revision has to belong to the landing of one merged pull request; else it holds the environments that it touches."),
    Way(34, "An administrator merges past branch protection", P, "Protection is no evidence: reviews are counted here."),
    Way(35, "Squash or rebase changes the content", P, "The landed tree is that of merging the approved head, or it is held."),
    Way(36, "An evil merge", P, "The same proof for the final merge; inside the branch the head binds it."),
    Way(37, "Merge queues and grouped merges", P, "Each pull request of a group is folded in order, with a tree of its own."),
    Way(38, "Merged without a merge", P, "The merge commit is the landing's end, and only its own pull request's."),
    Way(39, "The deploy branch is rewound or force-pushed", P, "History only moves forward; nothing is deployed backwards."),
    Way(40, "A bad commit hidden between the ends of pull requests", P, "Only the end of a landing is deployed."),
    Way(41, "Refs that are taken for each other", P, "Full ref names, resolved once; then only commits."),
    Way(42, "A fork", P, "The head lies in the repository itself, or it is refused."),
    Way(43, "The repository was renamed, transferred or made anew", P, "Its id is pinned."),
    Way(44, "Tricks of a local git: replacements, grafts, filters, hooks, alternates", P, "A bare mirror that uses none of them; git's own files are files of the rules."),
    Way(45, "Objects whose hash lies", P, "Everything fetched is checked; digests of ours are SHA-256."),
    Way(46, "The rules are edited in the same pull request", P, "They are read before the change, are alone in theirs, and need what the strictest deployment needs."),
    Way(47, "Rules that are absent, malformed or not understood", P, "Everything is denied."),
    Way(48, "A file of the repository relaxes the gate", P, "Fields that decide anything are judged before and after the change, and the stricter wins."),
    Way(49, "Anyone comments `approve`", P, "Only a registered person with write access who had no part in it, in the first line, unedited."),
    Way(50, "A status or a check is posted by somebody else", P, "Statuses are output and never evidence."),
    Way(51, "Approval by label, title, body or reaction", P, "None of them is read."),
    Way(52, "Exceptions for paths", P, "There are none: what is touched is decided by rendered digests."),
    Way(53, "A group that nobody is in, so that anybody fills it", P, "Nobody is in it: its quorum cannot be met, and a change that makes one so small is refused."),
    Way(54, "A revert that brings something else", P, "A rollback is a pull request like any other, and is called one only where trees prove it."),
    Way(55, "A rollback to what is forbidden by now", P, "The rules of now judge it."),
    Way(56, "Break-glass as a way around", P, "People only, by signature, one digest, for minutes, announced before and marked afterwards."),
    Way(57, "A heal or a retry ships what nobody approved", P, "Only the last approved state, with the images that were approved."),
    Way(58, "Windows and suspensions passed by another door", P, "One function authorises, whoever asks."),
    Way(59, "The engine's own configuration is changed", D, "What the engine runs with is an entry of the ledger at each start; who can write its files can do everything it can."),
    Way(60, "A webhook is forged or replayed", P, "Signed over the raw bytes, each delivery once, and only a hint to look."),
    Way(61, "Pages that are not read", P, "Every page, and beyond the forge's bounds the mirror; fewer than it counts is refused."),
    Way(62, "Answers that disagree", P, "Pull request and reviews are read twice, head and base by git as well."),
    Way(63, "No answer", P, "Not approved; what is deployed stays."),
    Way(64, "An agent that merges, or an agent's token that can do too much", P, "What an agent merged is refused, and so is what nobody is known to have merged; whatever its token can do, no word of it counts."),
    Way(65, "The address of the forge comes from what it says", P, "Only the configuration's address is asked; links and redirects are not followed."),
    Way(66, "Another host answers at the address", P, "Host keys are pinned, and the engine's id is part of the plan's digest."),
    Way(67, "Two control planes at once", P, "Leases, an exclusive lock on the host, and a signed record there of who deployed last."),
    Way(68, "The database or the ledger is rewritten", D, "Rows are sealed under a key beside the database: what another wrote is not believed. With the key too, a chain with signed checkpoints, anchored outside, shows what was changed, cut or made anew."),
    Way(69, "Tricks with clocks", P, "The forge's own order and clock; words from the future and commit dates count for nothing."),
    Way(70, "Symbolic links, submodules and LFS pointers", P, "Refused below hosts, projects and operations, and in the files of the rules; git objects are read, and no link is followed."),
    Way(71, "Files from outside the tree, or from the network", P, "What is remote, absolute, interpolated, of another project or not committed is refused, most of it before Compose runs."),
    Way(72, "Files and variables that Compose loads by itself", P, "Files are named one by one, the environment is empty, and no variable that steers Compose can be declared."),
    Way(73, "Values from the server's environment", P, "Declared variables only; one without a value is an error."),
    Way(74, "A tag that moves after the approval", P, "Resolved when planned; the digest is approved and deployed. A rule with image_unpinned denies tags."),
    Way(75, "Something else is built or pulled at apply", P, "Nothing is built, images are pulled by digest, and from where image_outside lets them come."),
    Way(76, "YAML that reads differently", P, "A strict reader; the truth is what the one renderer made."),
    Way(77, "Text that a reviewer cannot see", P, "Refused in what is deployed, and spelled out wherever it is shown; binary files and endless lines are counted and named."),
    Way(78, "Privilege and access to the host", P, "Denied on the rendered model, but for what a waiver names by digest."),
    Way(79, "Code that runs beside the services", P, "Denied on the rendered model, but for what a waiver names by digest."),
    Way(80, "Networks, volumes and names of another project", P, "The same; clashes on the host stop the plan, and external networks are shown by their real names."),
    Way(81, "Secrets in plans, comments, logs and errors", P, "Values are fingerprints; errors of programs are redacted."),
    Way(82, "Planning runs something", P, "It parses and reads: no network, no build, no code of the repository."),
    Way(83, "Markdown, terminal codes and mentions in names", P, "Escaped wherever others' text is shown; digests stand outside of it."),
    Way(84, "Mass deletion", P, "What removes more than half of all services, or the last, is denied, but for what a waiver names; volumes go only by name."),
    Way(85, "Reviewers who approve without reading, or together", O, "Nobody's record can show it; raise the quorum, and read in the ledger how fast people approve."),
)  # fmt: skip


def group_of(number: int) -> str:
    """The name of the group that a number is in."""
    return [name for first, name in GROUPS if first <= number][-1]
