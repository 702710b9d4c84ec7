"""Reservations: from a request to the last refund."""
