"""Doubted labels, as the client asks for them."""

from collections.abc import Iterator, Sequence
from typing import Literal

from schemas.answers import DoubtedLabel, DoubtsPage, SettledDoubt
from web.client_base import Asking


class Doubts(Asking):
    """Labels of training photos and tagged posts that a model does not believe."""

    def doubts(self) -> Iterator[DoubtedLabel]:
        """Go through the doubted labels that wait for us, most doubtful first."""
        for page in self._pages(DoubtsPage, "/doubts", {}):
            yield from page.doubts

    def settle_doubt(
        self,
        doubt: int,
        decision: Literal["keep", "correct", "skip"],
        categories: Sequence[str] = (),
    ) -> SettledDoubt:
        """Keep a label, say what is correct (nothing: none of ours), or leave it to others.

        Raises:
            MissingError: there is no such doubt.
        """
        document = {"decision": decision, "categories": list(categories)}
        return self._send(SettledDoubt, "POST", f"/doubts/{doubt}", document)
