"""Signatures that anyone can check with OpenSSH: the installation's own key, and people's consent."""

from reconciler.signatures.ssh_keygen import InstallationKey, PersonalKey, SshSignatures

__all__ = ["InstallationKey", "PersonalKey", "SshSignatures"]
