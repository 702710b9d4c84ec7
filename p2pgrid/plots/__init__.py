"""Pictures: one look for all of them. matplotlib is the optional extra `plots`."""
