"""The network seam: one Protocol, a libp2p and an in-memory adapter."""
