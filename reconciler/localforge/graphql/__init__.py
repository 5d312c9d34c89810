"""The GraphQL face: as much of GitHub's schema as `gh` asks for, executed for real over the same state and rights."""
