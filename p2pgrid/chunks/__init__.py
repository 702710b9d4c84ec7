"""Content-addressed chunks: kept here, fetched from peers."""
