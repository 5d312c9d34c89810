"""The embedded forge: GitHub's REST API and git's smart HTTP on one small state.

For trying the product, for tests, and for one machine without a forge.

`server.serve` runs it, `seed.load_seed` reads what it starts with.
"""
