"""Files and directories below a root: confined paths, scanning, metadata, commit. Knows nothing of the wire."""
