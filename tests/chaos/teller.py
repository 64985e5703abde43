"""The platform beside a disturbed run: it tells of accounts, and hears of each exactly once."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from random import Random

from pipelines.webhooks import parse_secrets, sign_headers
from tests.houses import House, until
from tests.receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"c" * 32).decode()
SECRETS = parse_secrets(SECRET)
ACCEPTED, UNAVAILABLE = 202, 503


class Teller:
    """Posts signed events and checks what its callback was told."""

    def __init__(self, house: House, receiver: Receiver, usernames: Sequence[str]) -> None:
        self._house = house
        self._receiver = receiver
        self._usernames = sorted(usernames)
        self._told: list[str] = []
        self._statuses: set[int] = set()

    def tell(self, random: Random) -> None:
        """Tell of one account, again and again until somebody has it."""
        name = f"evt_{len(self._told)}"
        username = random.choice(self._usernames)
        document = {"type": "influencer.updated", "data": {"username": username}}
        until(lambda: self._post(name, json.dumps(document).encode()))
        self._told.append(name)

    def check(self, deadline_s: float) -> None:
        """Every event was answered by one verdict, however often that was sent."""
        until(lambda: set(self._told) <= self._answered().keys(), deadline_s)
        assert self._answered() == Counter(self._told)
        assert self._statuses <= {ACCEPTED, UNAVAILABLE}, self._statuses
        kinds = {one["type"] for one in self._receiver.accepted.values()}
        assert kinds <= {"verdict.concluded"}, kinds

    def _answered(self) -> Counter[str]:
        accepted = list(self._receiver.accepted.values())
        return Counter(name for one in accepted for name in one["data"]["events"])

    def _post(self, name: str, body: bytes) -> bool:
        headers = sign_headers(SECRETS["default"], name, int(time.time()), body)
        request = urllib.request.Request(f"{self._house.web_url}/events", body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
                status = int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                status = error.code
        except OSError:
            return False
        self._statuses.add(status)
        return status == ACCEPTED
