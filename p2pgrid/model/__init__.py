"""What the grid talks about: frozen records."""
