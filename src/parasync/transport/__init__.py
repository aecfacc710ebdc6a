"""Transports: ordered, reliable byte streams between two peers.

`stream` is the contract; `memory` joins both roles in one process, `tcp`
joins hosts. Nothing here knows what the bytes mean.
"""
