"""The explorer: every node holds the view of the whole grid; nobody serves it to the others."""
