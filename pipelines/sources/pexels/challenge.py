"""The page that Pexels' guard shows instead of an answer: a riddle for browsers."""

from pipelines.sources.http import Fetched
from schemas.errors import SourceBlockedError

# What the guard's script and page need themselves. "/cdn-cgi/challenge-platform/" is no sign:
# ordinary pages load a script from there, too.
_SIGNS = ("_cf_chl_opt", 'id="challenge-error-text"', "id='challenge-error-text'")


def is_challenge(html: str) -> bool:
    """Whether a page is the guard's."""
    return any(sign in html for sign in _SIGNS)


def refuse_challenge(answer: Fetched) -> None:
    """Stop at the guard's page, which asks for a person.

    Raises:
        SourceBlockedError: it is one.
    """
    marked = answer.headers.get("cf-mitigated", "").lower() == "challenge"
    if marked or is_challenge(answer.body.decode("utf-8", "replace")):
        raise challenged()


def challenged() -> SourceBlockedError:
    """The error for the guard's page."""
    return SourceBlockedError(
        "Pexels answers with a challenge page for browsers: its pages cannot be crawled from here "
        "now. Stop, and use the API (AFIN_PEXELS_KEY)."
    )
