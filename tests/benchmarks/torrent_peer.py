"""One of two processes that move a file by libtorrent: `python -m tests.benchmarks.torrent_peer`.

seed FILE TORRENT            describe a file, seed it, print {"port"} until stdin ends
get TORRENT DIRECTORY PORT   take it from there, print {"seconds", "cpu_seconds"}

Over TCP without encryption, with nothing that looks for peers: as quick as it is.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from p2pgrid.units import MIB

_SETTINGS: dict[str, Any] = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "send_buffer_watermark": 4 * MIB,
    "max_out_request_queue": 2000,
}
_POLL_SECONDS = 0.005


def main(role: str, *arguments: str) -> None:
    libtorrent = importlib.import_module("libtorrent")  # in a folder of its own, if at all
    session = libtorrent.session(_SETTINGS)
    if role == "seed":
        _seed(libtorrent, session, *arguments)
    else:
        _get(libtorrent, session, *arguments)


def _seed(libtorrent: Any, session: Any, file: str, torrent: str) -> None:
    files = libtorrent.file_storage()
    libtorrent.add_files(files, file)
    made = libtorrent.create_torrent(files, MIB)
    libtorrent.set_piece_hashes(made, str(Path(file).parent))
    Path(torrent).write_bytes(libtorrent.bencode(made.generate()))
    handle = _added(libtorrent, session, torrent, str(Path(file).parent))
    _wait_until_whole(handle)
    _say({"port": session.listen_port()})
    sys.stdin.read()


def _get(libtorrent: Any, session: Any, torrent: str, directory: str, port: str) -> None:
    started, cpu_started = time.perf_counter(), time.process_time()
    handle = _added(libtorrent, session, torrent, directory)
    handle.connect_peer(("127.0.0.1", int(port)))
    _wait_until_whole(handle)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    _say({"seconds": seconds, "cpu_seconds": cpu_seconds})


def _added(libtorrent: Any, session: Any, torrent: str, directory: str) -> Any:
    return session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": directory})


def _wait_until_whole(handle: Any) -> None:
    while not handle.status().is_seeding:
        time.sleep(_POLL_SECONDS)


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - that is the protocol


if __name__ == "__main__":
    main(*sys.argv[1:])
