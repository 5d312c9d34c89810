"""Docker hosts: one SSH connection each, the Engine API and our Compose over it."""

from reconciler.hosts.host import SshHosts

__all__ = ["SshHosts"]
