"""Farming: what a machine has, what of it is offered, and what that earns."""
