"""The explorer: every node holds the view of the grid."""
