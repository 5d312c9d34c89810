"""GitOps for Docker Compose: agents propose by pull request, a person other than the author approves."""

__version__ = "0.1.0"
