"""The forge's web pages: reading a pull request, reviewing and merging it in a browser. No script, no foreign asset."""
