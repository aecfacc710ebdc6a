"""The command line: arguments to calls of the API, errors to exit codes, events to a display.

One file per command; each imports what it needs when it is called.
"""
