"""The disk seam: one Protocol, a LevelDB and an in-memory adapter."""
