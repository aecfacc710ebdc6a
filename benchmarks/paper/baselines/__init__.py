"""dsync and pdsync as the paper describes them, and ParaSync's own structure, over the product's kernels.

Only the structure differs: which thread does what when, and what is exchanged at once.
"""
