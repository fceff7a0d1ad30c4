"""How many tokens were computed for whom: for each owner of requests, since the start and lately."""

from collections import Counter, deque

from sarathid.protocol.stats import IterationStats, RequestArrival, RequestStats, StreamRecord

MAX_OWNERS = 64
OTHERS = "others"
"""Stands for whoever came after the first `MAX_OWNERS`."""

_NUM_SLICES = 20


class OwnerTally:
    """Folds records; the latest counts are of the last `window_s` seconds, and reused prompts count nothing."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.num_prefill_tokens: Counter[str] = Counter()
        self.num_output_tokens: Counter[str] = Counter()
        self._slice_s = window_s / _NUM_SLICES
        self._slices: deque[tuple[int, Counter[str]]] = deque(maxlen=_NUM_SLICES + 1)
        self._owners: dict[int, str] = {}
        self._num_requests: Counter[str] = Counter()

    def observe(self, record: StreamRecord) -> None:
        """Take a record in."""
        match record:
            case RequestArrival():
                owner = self._named(record.owner)
                self._owners[record.request_id] = owner
                self._num_requests[owner] += 1
            case IterationStats():
                self._observe_iteration(record)
            case RequestStats():
                owner = self._owners.pop(record.request_id, OTHERS)
                self._num_requests[owner] -= 1
                if self._num_requests[owner] <= 0:
                    del self._num_requests[owner]

    def recent(self, now_s: float) -> Counter[str]:
        """Return the tokens of each owner, prefill and output, in the window that ends now."""
        oldest = int((now_s - self.window_s) // self._slice_s)
        return sum((counts for index, counts in self._slices if index > oldest), Counter())

    def _observe_iteration(self, stats: IterationStats) -> None:
        prefill, output = self._count(stats)
        self.num_prefill_tokens.update(prefill)
        self.num_output_tokens.update(output)
        index = int(stats.end_s // self._slice_s)
        if not self._slices or self._slices[-1][0] < index:
            self._slices.append((index, Counter()))
        self._slices[-1][1].update(prefill + output)

    def _count(self, stats: IterationStats) -> tuple[Counter[str], Counter[str]]:
        """Return the prefill and the output tokens of each owner; one alone has all, and nobody is looked up."""
        if len(self._num_requests) == 1:
            (owner,) = self._num_requests
            num_output_tokens = len(stats.gaps) + len(stats.first_tokens)
            return Counter({owner: stats.num_prefill_tokens}), Counter({owner: num_output_tokens})
        prefill: Counter[str] = Counter()
        for chunk in stats.chunks:
            prefill[self._owner(chunk.request_id)] += chunk.length
        output = Counter([self._owner(gap.request_id) for gap in stats.gaps])
        output.update([self._owner(first.request_id) for first in stats.first_tokens])
        return prefill, output

    def _owner(self, request_id: int) -> str:
        return self._owners.get(request_id, OTHERS)

    def _named(self, owner: str) -> str:
        """Return an owner, or `OTHERS` for one more than are told apart."""
        is_known = owner in self.num_prefill_tokens or len(self.num_prefill_tokens) < MAX_OWNERS
        self.num_prefill_tokens[owner if is_known else OTHERS] += 0
        return owner if is_known else OTHERS
