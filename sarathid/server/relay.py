"""What passes answers on to their client, in the moment in which they come."""

import asyncio
from collections.abc import Callable

from sarathid.server.answers import AnswerDelta, Answers


class Relay:
    """Gives what comes of answers to `tell` as long as `can_tell`, until nothing more comes.

    It does so in the call that brings the news: no task waits for it and none is switched to, which would cost more
    than all else that is done about a token.
    """

    def __init__(
        self, answers: Answers, tell: Callable[[AnswerDelta], None], can_tell: Callable[[], bool] = lambda: True
    ) -> None:
        self._answers = answers
        self._tell = tell
        self._can_tell = can_tell
        self._is_under_way = False
        self._end = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Tell until nothing more comes; raises what `tell` raised."""
        self._answers.listen(self.go_on)
        self.go_on()
        await self._end

    def go_on(self) -> None:
        """Tell what there is, as far as it can be told now."""
        if self._is_under_way or self._end.done():
            return
        self._is_under_way = True
        try:
            while self._can_tell() and (news := self._answers.take()) is not None:
                self._tell(news)
        except Exception as failure:  # noqa: BLE001 - it is this reply's, and not of whoever brought the news
            self._end.set_exception(failure)
        else:
            if self._answers.are_over:
                self._end.set_result(None)
        finally:
            self._is_under_way = False
