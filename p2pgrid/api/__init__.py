"""The control API that the command line and the dashboard talk to."""
