"""Signatures that anyone can check with OpenSSH: the installation's own key, and people's consent."""

from reconciler.signatures.ed25519 import Ed25519Signatures, InstallationKey
from reconciler.signatures.ssh_keygen import PersonalKey, SshSignatures

__all__ = ["Ed25519Signatures", "InstallationKey", "PersonalKey", "SshSignatures"]
