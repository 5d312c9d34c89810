"""The HTTP face: health, readiness and webhooks."""
