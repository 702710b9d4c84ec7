"""Limits of pictures."""

LABEL_CHARACTERS_MAX = 24
"""Of a name in a picture: more would push everything else aside."""

BARS_MAX = 10
"""Bars in one chart; what is less is added up as `others`."""

PRICE_BINS = 20
"""Bars of the distribution of prices."""

PLACES_NAMED_MAX = 8
"""Places on the map with their name; more names would cover each other."""

PLACES_DRAWN_MAX = 5_000
"""Bubbles on one map, the largest: cells of three degrees, times states, are few more."""
