"""Chunks from three peers at once, and beside nginx and libtorrent; disk to disk, in processes.

Links of 100 Mbit/s are in network namespaces, which needs root. The references need nginx, curl
and openssl, and libtorrent from the package registry; a row says so where they are missing.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from pwd import getpwuid

from tests.benchmarks.chunk_peer import BLOB_BYTES
from tests.benchmarks.chunks import random_file, run_peer, running_peer
from tests.benchmarks.measurement import Measurement, compare
from tests.integration.shaped_links import namespace, shaped_links

CHUNK_COUNT = 512
SHAPED_COUNT = 192  # 8 s on one link
SHAPED_MEGABITS = 100
ROUNDS = 3  # each of them in turn; the best counts, since the machine is shared
UNSHAPED_TARGET = 0.9
SHAPED_TARGET = 2.7
NGINX_TARGET = 1.0
LIBTORRENT_TARGET = 2.0
INSTALL_SECONDS_MAX = 120
START_SECONDS_MAX = 10
NGINX_PROGRAMS = ("nginx", "curl", "openssl")
LIBTORRENT_PACKAGE = "libtorrent==2.1.1"

_TOTAL_BYTES = CHUNK_COUNT * BLOB_BYTES
_NGINX_CONFIG = """
user {user};
pid {place}/nginx.pid; error_log {place}/nginx.log; worker_processes 1; daemon off;
events {{ }}
http {{
  access_log off; sendfile on; root {place};
  client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3;
    ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem;
  }}
}}
"""

Fetch = Callable[[Path], float]
"""Moves it all into a new place; gives the seconds that it took."""


def measure() -> Iterator[Measurement]:
    """Rates of one and of three peers, and those of others."""
    with tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name, ExitStack() as stack:
        place = Path(name)
        addresses = [
            stack.enter_context(running_peer("serve", str(place / f"{n}"), str(CHUNK_COUNT)))
            for n in range(3)
        ]
        source = random_file(place / "source", CHUNK_COUNT)
        nginx, nginx_name = stack.enter_context(nginx_serving(source))
        torrent, torrent_name = stack.enter_context(torrent_seeding(source))
        one = partial(_fetch, CHUNK_COUNT, [addresses[0]["address"]])
        three = partial(_fetch, CHUNK_COUNT, [said["address"] for said in addresses])
        ours, of_three, by_nginx, by_torrent = _best_rates(place, [one, three, nginx, torrent])
    assert ours is not None
    assert of_three is not None
    yield beside("chunks.three_peers", of_three, "one peer", ours, UNSHAPED_TARGET)
    yield beside("chunks.nginx", ours, nginx_name, by_nginx, NGINX_TARGET)
    yield beside("chunks.libtorrent", ours, torrent_name, by_torrent, LIBTORRENT_TARGET)
    yield _shaped()


def beside(bench: str, rate: float, name: str, other: float | None, target: float) -> Measurement:
    """Ours beside another; without it nothing is met, and its name says why."""
    if other is None:
        return Measurement(bench, rate, "MB/s", name, 0.0, 0.0, target, met=False)
    return compare(bench, rate, "MB/s", reference=(name, other), target=target)


def _shaped() -> Measurement:
    links = dict.fromkeys(("first", "second", "third"), SHAPED_MEGABITS)
    with (
        tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name,
        shaped_links({**links, "puller": 10_000}) as hosts,
        ExitStack() as stack,
    ):
        count = str(SHAPED_COUNT)
        addresses = [
            stack.enter_context(
                running_peer("serve", f"{name}/{one}", count, hosts[one], before=_inside(one))
            )["address"]
            for one in links
        ]
        seconds = [
            _fetch(SHAPED_COUNT, addresses[:peers], Path(name) / f"{peers}", _inside("puller"))
            for peers in (1, 3)
        ]
    one, three = (SHAPED_COUNT * BLOB_BYTES / took / 1e6 for took in seconds)
    name = f"one peer, {SHAPED_MEGABITS} Mbit/s each"
    return beside("chunks.three_shaped", three, name, one, SHAPED_TARGET)


def _inside(name: str) -> list[str]:
    return ["ip", "netns", "exec", namespace(name)]


def _fetch(count: int, addresses: Sequence[str], target: Path, before: Sequence[str] = ()) -> float:
    return run_peer("fetch", str(target), str(count), *addresses, before=before)["seconds"]


def _best_rates(place: Path, fetches: Sequence[Fetch | None]) -> list[float | None]:
    """MB/s of each, in turns; None of what cannot be measured."""
    seconds: list[list[float]] = [[] for _ in fetches]
    for number in range(ROUNDS):
        for which, fetch in enumerate(fetches):
            if fetch is not None:
                target = place / f"got-{which}-{number}"
                seconds[which].append(fetch(target))
                shutil.rmtree(target)
    return [_TOTAL_BYTES / min(all_of) / 1e6 if all_of else None for all_of in seconds]


# --- others ---------------------------------------------------------------------------------------


@contextmanager
def nginx_serving(source: Path) -> Iterator[tuple[Fetch | None, str]]:
    """How to get a file from an nginx that serves it, and what that is called."""
    missing = [program for program in NGINX_PROGRAMS if shutil.which(program) is None]
    if missing:
        yield None, f"nginx not measured: needs {', '.join(missing)}"
        return
    with tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name:
        place, port, user = Path(name), _free_port(), getpwuid(os.geteuid()).pw_name
        (place / "source").symlink_to(source)
        (place / "nginx.conf").write_text(_NGINX_CONFIG.format(place=place, port=port, user=user))
        certificate = ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=bench"]
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *certificate]
        subprocess.run(make, cwd=place, check=True, capture_output=True)
        command = ["nginx", "-p", str(place), "-c", str(place / "nginx.conf")]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _wait_for_port(port)
                url = f"https://127.0.0.1:{port}/source"
                yield partial(_curl, url), "nginx TLS 1.3 and curl"
            finally:
                process.terminate()


def _curl(url: str, target: Path) -> float:
    target.mkdir()
    started = time.perf_counter()
    command = ["curl", "--silent", "--fail", "--insecure", "--output", str(target / "got"), url]
    subprocess.run(command, check=True)
    return time.perf_counter() - started


@contextmanager
def torrent_seeding(source: Path) -> Iterator[tuple[Fetch | None, str]]:
    """How to get a file from a libtorrent that seeds it, and what that is called."""
    with tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name:
        uv = Path(sys.executable).with_name("uv")
        install = [str(uv), "pip", "install", "--quiet", "--target", name, LIBTORRENT_PACKAGE]
        try:
            subprocess.run(  # what goes wrong it says itself, on stderr
                install,
                check=True,
                timeout=INSTALL_SECONDS_MAX,
                env={**os.environ, "UV_SYSTEM_CERTS": "1"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            yield None, f"libtorrent not measured: no package ({type(error).__name__})"
            return
        peer = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.torrent_peer"]
        environment = {**os.environ, "PYTHONPATH": name}
        torrent = f"{name}/source.torrent"
        with subprocess.Popen(
            [*peer, "seed", str(source), torrent],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            port = str(json.loads(process.stdout.readline())["port"])

            def get(target: Path) -> float:
                target.mkdir()
                command = [*peer, "get", torrent, str(target), port]
                found = json.loads(subprocess.check_output(command, env=environment))
                return float(found["seconds"])

            yield get, "libtorrent, TCP, not encrypted"
            assert process.stdin is not None
            process.stdin.close()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for_port(port: int) -> None:
    """Raises OSError when nobody listens for START_SECONDS_MAX."""
    end = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
