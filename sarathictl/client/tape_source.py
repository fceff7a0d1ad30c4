"""A recording in the shape of a stream: gone through bit by bit, while any moment of it can be seen already."""

import time
from collections.abc import Callable, Iterator, Sequence

from sarathictl.client.stats_stream import Link, LinkState, Received
from sarathid.errors import CodecError
from sarathid.tape.frames import Frame

READ_FOR_S = 0.1


class TapePair:
    """Hands over two recordings at once, and tells of the first."""

    def __init__(self, first: "TapeSource", second: "TapeSource") -> None:
        self._first = first
        self._second = second

    @property
    def link(self) -> Link:
        """Where they come from: the first, until it is read; then the second, until that is read too."""
        return self._second.link if self._second.link.message and not self._first.link.message else self._first.link

    def drain(self) -> Sequence[Received]:
        """Load some more of both; nothing is received."""
        return (*self._first.drain(), *self._second.drain())


class TapeSource:
    """Hands frames to `read` at every `drain`, the oldest first, as many as `READ_FOR_S` allows."""

    def __init__(self, frames: Sequence[Frame], name: str, read: Callable[[Frame], None]) -> None:
        self._frames = frames
        self._name = name
        self._read = read
        self._left: Iterator[Frame] = iter(frames)
        self._num_read = 0

    @property
    def link(self) -> Link:
        """Where the recording comes from, and how much of it is still to be read."""
        share = self._num_read / len(self._frames)
        message = "" if share == 1.0 else f"reading {self._name}: {share:.0%}"
        return Link(LinkState.RECORDED, self._frames[0].time_s, message)

    def drain(self) -> Sequence[Received]:
        """Load some more; nothing is received."""
        until_s = time.monotonic() + READ_FOR_S
        for frame in self._left:
            self._num_read += 1
            try:
                self._read(frame)
            except CodecError:
                continue  # a segment that can't be read is one that is missing
            if time.monotonic() >= until_s:
                break
        return ()
