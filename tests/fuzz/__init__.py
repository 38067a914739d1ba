"""Thousands of damaged and odd files: `python -m tests.fuzz`, or `make fuzz`."""
