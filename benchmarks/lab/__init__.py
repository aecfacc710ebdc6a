"""The lab: two hosts on one machine with a shaped network between them, datasets, and the tools that are compared."""
