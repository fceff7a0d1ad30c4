"""How many tokens each owner of requests has had, by which those of several take turns.

An owner is who the daemon knows a client by: a user, or a key. The counters are those of the virtual token counter
(Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024, algorithm 2): the next request to start is of the
owner that has had the fewest tokens, and who has not been waiting is lifted to those that wait, so that nobody saves
tokens up. Unlike there, a prompt is charged for as its chunks run, what the prefix cache had and what is computed again
is free, and what lost its blocks goes on before anything new starts, since its reader waits in the midst of an answer.
"""

from collections.abc import Iterable

OUTPUT_WEIGHT = 2
"""An output token counts for so many of a prompt, as in the paper's evaluation."""

_MAX_IDLE_ACCOUNTS = 1024


class Account:
    """What one owner had: `num_charged` tokens, lifted where it was away; `num_arrivals` counts its requests."""

    __slots__ = ("num_arrivals", "num_charged", "num_unfinished", "owner")

    def __init__(self, owner: str = "") -> None:
        self.owner = owner
        self.num_charged = 0
        self.num_arrivals = 0
        self.num_unfinished = 0


class Ledger:
    """The accounts of all owners that have requests, and of those that lately had."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._num_active = 0

    @property
    def is_shared(self) -> bool:
        """Whether several owners have requests that have not ended; otherwise there are no turns to take."""
        return self._num_active > 1

    def enter(self, owner: str) -> Account:
        """Return the account of the owner of one request more."""
        account = self._accounts.get(owner)
        if account is None:
            account = self._open(owner)
        self._num_active += not account.num_unfinished
        account.num_unfinished += 1
        account.num_arrivals += 1
        return account

    def leave(self, account: Account) -> None:
        """Take note that a request of its owner has ended."""
        account.num_unfinished -= 1
        self._num_active -= not account.num_unfinished

    def deficits(self, waiting: Iterable[Account]) -> dict[str, int]:
        """Return how many tokens each of these owners has had less than the one that has had most; {} for one alone."""
        if not self.is_shared:
            return {}
        most = max([account.num_charged for account in self._accounts.values() if account.num_unfinished])
        return {account.owner: most - account.num_charged for account in waiting}

    def _open(self, owner: str) -> Account:
        if len(self._accounts) >= _MAX_IDLE_ACCOUNTS:
            self._accounts = {known.owner: known for known in self._accounts.values() if known.num_unfinished}
        account = self._accounts[owner] = Account(owner)
        return account
