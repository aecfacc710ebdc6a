"""The session: joins the three phases, the tree, the wire and a transport.

`sender` drives the target's side, `receiver` the basis's; which of them is
client or server is not their business.
"""
