"""Phase I measured: this project's kernels beside other chunkers, hard inputs, and what is serial."""
