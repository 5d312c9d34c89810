"""The nouns: frozen values that every other package speaks in, and no behaviour beyond their own invariants."""
