"""Reservations: from a document a person wrote to a settled bill.

Reading order: `terms` (what both sides sign), `lifecycle` (the node's side, a
state machine), `rental` (the consumer's side), then the two shells `service`
(node) and `consumer`. `pricing`, `matching` and `document` stand alone.
"""
