"""Which of a worker's fetching processes asks which host."""

from collections.abc import Iterable
from typing import NamedTuple

from storage.crawl_urls import WantedUrl

HOSTS_KNOWN = 10_000
"""Then hosts are dealt anew."""

FADE = 0.9
"""Of what was dealt to a process so much counts as its load at the next deal: old work is done."""


class Flight(NamedTuple):
    """An address, and the place of the process that fetches it."""

    wanted: WantedUrl
    place: int


class Dealer:
    """Deals addresses to processes: all of a host to one, which knows how polite to be with it."""

    def __init__(self, processes: int) -> None:
        self._places: dict[str, int] = {}
        self._loads = [0.0] * processes

    def deal(self, wanted: Iterable[WantedUrl]) -> dict[int, Flight]:
        """Return each address's flight by its id; a new host goes to where least was dealt lately.

        Hosts with most addresses are dealt first, so that two large ones rarely share a process.
        """
        if len(self._places) >= HOSTS_KNOWN:
            self._places.clear()
        self._loads = [load * FADE for load in self._loads]
        by_host: dict[str, list[WantedUrl]] = {}
        for one in wanted:
            by_host.setdefault("".join(one.url.lower().split("/", 3)[2:3]), []).append(one)
        flights: dict[int, Flight] = {}
        for host, some in sorted(by_host.items(), key=lambda item: -len(item[1])):
            place = self._places.get(host)
            if place is None:
                place = self._places[host] = self._loads.index(min(self._loads))
            self._loads[place] += len(some)
            flights.update((one.id, Flight(one, place)) for one in some)
        return flights
