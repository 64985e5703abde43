"""Dealing addresses to the processes that fetch."""

from collections import Counter

from storage.crawl_urls import WantedUrl
from tasks.crawl_dealing import HOSTS_KNOWN, Dealer


def wanted(*hosts: str) -> list[WantedUrl]:
    return [WantedUrl(n, f"http://{host}/{n}.jpg", "", "") for n, host in enumerate(hosts)]


def places(dealer: Dealer, *hosts: str) -> list[int]:
    flights = dealer.deal(wanted(*hosts))
    return [flights[n].place for n in range(len(hosts))]


def test_each_host_has_one_process_and_the_processes_share_the_hosts() -> None:
    dealer = Dealer(2)
    hosts = [f"host{n % 6}.test:80" for n in range(18)]
    dealt = places(dealer, *hosts)
    assert dealt[:6] == dealt[6:12] == dealt[12:]
    assert Counter(dealt[:6]) == {0: 3, 1: 3}
    assert places(dealer, *hosts) == dealt
    assert places(dealer, *(host.upper() for host in hosts)) == dealt


def test_large_hosts_are_kept_apart_whatever_comes_between_them() -> None:
    dealer = Dealer(2)
    dealt = places(dealer, *(["large"] * 9), "a", "b", "c", *(["huge"] * 9))
    assert dealt[0] != dealt[-1]


def test_a_new_host_goes_where_least_was_dealt_lately() -> None:
    dealer = Dealer(2)
    (busy,) = set(places(dealer, *(["first"] * 1000)))
    (other,) = places(dealer, "second")
    assert other != busy
    for _ in range(100):
        places(dealer, *(["second"] * 100))
    # What the first process had to do is long done.
    assert places(dealer, "third") == [busy]


def test_hosts_are_forgotten_in_time() -> None:
    dealer = Dealer(2)
    places(dealer, *(f"host{n}" for n in range(HOSTS_KNOWN)))
    places(dealer, "one more")
    assert len(dealer._places) == 1


def test_what_is_no_address_is_dealt_too() -> None:
    flights = Dealer(3).deal([WantedUrl(7, "nonsense", "", ""), WantedUrl(8, "", "", "")])
    assert flights.keys() == {7, 8}
