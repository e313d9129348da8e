"""Measure what SPECIFICATION.md quotes (`python -m benchmarks`), and kill workers (`….campaign`)."""
