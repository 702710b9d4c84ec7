"""The explorer as other programs expect it: the REST interface of gridproxy, read-only."""
