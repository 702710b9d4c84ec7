"""How long we wait and how much we hold. Every such number lives here, with its reason.

One module for each folder that the numbers are for. Names end in their unit.
Nothing here is read from a configuration file.
"""
