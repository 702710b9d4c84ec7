"""Flists: images as trees of content-addressed chunks."""
