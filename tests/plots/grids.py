"""Rows of imagined nodes, as the control API lists them."""

from random import Random
from typing import Any

from p2pgrid.units import GIB

CITIES = (
    ("Belgium", "Ghent", 51.05, 3.7), ("Germany", "Frankfurt", 50.1, 8.7),
    ("United States", "Ashburn", 39.0, -77.5), ("Egypt", "Cairo", 30.0, 31.2),
    ("Brazil", "São Paulo", -23.5, -46.6), ("Singapore", "Singapore", 1.3, 103.8),
    ("Japan", "東京", 35.7, 139.7), ("Australia", "Sydney", -33.9, 151.2),
    ("Kenya", "Nairobi", -1.3, 36.8), ("Switzerland", "Zürich", 47.4, 8.5),
    ("Canada", "Toronto", 43.7, -79.4), ("India", "Pune", 18.5, 73.9),
)  # fmt: skip


def location(country: str, city: str, latitude: float, longitude: float) -> dict[str, Any]:
    return {
        "country": country,
        "city": city,
        "latitude_microdegrees": round((latitude + 90) * 10**6),
        "longitude_microdegrees": round((longitude + 180) * 10**6),
    }


def capacity(cores: int, *, share: float = 1.0) -> dict[str, int]:
    return {
        "millicores": int(1000 * cores * share), "memory_bytes": int(4 * GIB * cores * share),
        "ssd_bytes": int(100 * GIB * cores * share), "hdd_bytes": 0, "gpus": cores // 48,
    }  # fmt: skip


def node(number: int, **changes: Any) -> dict[str, Any]:
    """One node of eight cores, half of it free, in Ghent."""
    return {
        "node": f"{number:064x}", "status": "up", "location": location(*CITIES[0]),
        "total": capacity(8), "free": capacity(8, share=0.5), "price_permille": 1000,
        "features": ["container"], "version": "0.1.0", **changes,
    }  # fmt: skip


def imagined(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Nodes around some cities; the same for the same seed."""
    random = Random(seed)
    rows = []
    for number in range(count):
        country, city, latitude, longitude = random.choices(
            CITIES, weights=range(len(CITIES), 0, -1)
        )[0]
        stands = location(
            country, city, latitude + random.gauss(0, 1.5), longitude + random.gauss(0, 2)
        )
        cores = random.choice([4, 8, 8, 16, 32, 96])
        rows.append(
            node(
                number,
                status=random.choices(["up", "standby", "down"], weights=[90, 4, 6])[0],
                location=None if random.random() < 0.08 else stands,
                total=capacity(cores),
                free=capacity(cores, share=random.random()),
                price_permille=round(random.lognormvariate(0, 0.25) * 1000),
                features=random.sample(["container", "virtual_machine", "s3", "gpu"], k=2),
                version=random.choice(["0.1.0", "0.1.0", "0.2.0", "0.2.1"]),
            )
        )
    return rows
