"""The parts that the straight line is made of, joined by bootstrap and handed on as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import RLock

from reconciler.model.fingerprint import Fingerprinter
from reconciler.model.target import EnvironmentName
from reconciler.ports import (
    Checkpoints,
    Clock,
    Deployments,
    Engine,
    Forge,
    Hosts,
    Leases,
    Ledger,
    Progress,
    Renderer,
    Signatures,
    Signer,
    Source,
    States,
    TrustRecord,
    Witness,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Every port, and the few values that belong to this installation.

    `branch` is the deploy branch, `owner` this process's name in leases and locks; `told` are the landed commits of
    which the forge has been told all there was to tell; `saying` is held while a comment and what the ledger keeps of
    it are written, which would look like a comment that somebody edited; `looked` are the environments whose hosts'
    records were read in this process and agree: under which trust, and with which revision as the verified one.
    `witness` is None where none is configured.
    """

    source: Source
    forge: Forge
    renderer: Renderer
    hosts: Hosts
    ledger: Ledger
    checkpoints: Checkpoints
    deployments: Deployments
    states: States
    leases: Leases
    engine: Engine
    signer: Signer
    signatures: Signatures
    clock: Clock
    fingerprinter: Fingerprinter
    progress: Progress
    branch: str
    owner: str
    witness: Witness | None = None
    told: set[str] = field(default_factory=set)
    saying: RLock = field(default_factory=RLock)
    looked: dict[EnvironmentName, tuple[TrustRecord, str]] = field(default_factory=dict)
