"""Running deployments to their end, now or after a restart."""
