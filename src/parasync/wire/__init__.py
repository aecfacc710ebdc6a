"""The protocol without any I/O: messages, their bytes, and what may follow what.

`docs/protocol.md` is the normative text; tags in brackets, like `[hello.push]`, name its fields here and there.
"""
