"""The paper's evaluation on this machine: its baselines, its experiments, and docs/evaluation.md, which compares."""
