"""Cases for the gate: data in, answer out, by the numbers of its list. `make gate` runs them; so do the tests."""
