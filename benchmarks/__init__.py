"""The benchmark suite: `python -m benchmarks --help`; what it measures and how is told in docs/benchmarks.md."""
