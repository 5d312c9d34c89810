"""Mutation testing of what decides: `make mutate` changes the code in every small way and asks the tests to notice."""
