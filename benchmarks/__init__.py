"""Side-by-side measurements against what one would use instead; run as `python -m benchmarks` or `make bench`."""
