"""GitHub's JSON shapes, one module per family; handlers and webhooks build their bodies from these alone.

Field names and nesting are those of GitHub's OpenAPI description for API version 2022-11-28.
"""
