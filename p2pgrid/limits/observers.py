"""Limits of the port for observers; see `net/libp2p_observers.py`."""

from p2pgrid.units import KIB

OBSERVERS_MAX = 64
"""Observers that are told at once. Each costs one write a pause."""

OBSERVED_PAUSE_SECONDS = 0.25
"""Between packets to observers, so that they cost as little at high rates as at low ones."""

OBSERVED_MESSAGES_MAX = 128
"""Records that wait for the next packet, 512 a second; of more, the oldest are dropped."""

OBSERVED_PACKET_BYTES_MAX = 128 * KIB
"""One packet: two of the longest records. Go takes 1 MiB at most, js-libp2p 4."""

OBSERVER_PACKETS_MAX = 8
"""Packets that wait for one observer to read; of more, the oldest are dropped."""

OBSERVER_RPC_BYTES_MAX = 64 * KIB
"""What an observer may say at once: its subscriptions, of which one counts."""

OBSERVER_BYTES_PER_SECOND = 64 * KIB
"""What we read of an observer; it has hardly anything to say."""

OBSERVER_STREAMS_MAX = 2
"""Inbound streams of one observer that are read: the one in use and its successor."""

OBSERVER_SUBSCRIBE_SECONDS_MAX = 15.0
"""From a connection to a subscription: who has none by then has no use for it."""

OBSERVER_STREAM_SECONDS_MAX = 8.0
"""To open a stream to an observer."""

OBSERVERS_RESTART_SECONDS_MIN = 1.0
"""Before a host for observers that broke is opened anew; doubles up to the maximum."""

OBSERVERS_RESTART_SECONDS_MAX = 300.0
"""A bug that observers can reach costs us a restart in five minutes."""
