"""Gives decodes that were put together ahead the tokens that the batch before them draws."""

import numpy as np

from sarathid.executor.input_batch import InputBatch
from sarathid.executor.launched_draw import SampledTokens, TokensOnHost
from sarathid.executor.staging import send
from sarathid.scheduler.batch import AWAITED_TOKEN


class AwaitedTokens:
    """What the newest batch that a runner launched draws, before anybody on the host knows it."""

    def __init__(self) -> None:
        self._request_ids: tuple[int, ...] = ()
        self._tokens: SampledTokens = TokensOnHost()

    def note(self, inputs: InputBatch, tokens: SampledTokens) -> None:
        """Take in what a batch draws, a token for each entry of its `sampling`."""
        self._request_ids = tuple([request.request_id for request in inputs.sampling])
        self._tokens = tokens

    def fill_in(self, inputs: InputBatch) -> None:
        """Write the tokens into `inputs.token_ids`, where the batch has an AWAITED_TOKEN; the device does, in turn."""
        decodes = inputs.sequences  # first, a row each, in the order of the rows
        rows = [row for row, sequence in enumerate(decodes) if sequence.token_ids[0] == AWAITED_TOKEN]
        if not rows:
            return
        places = {request_id: place for place, request_id in enumerate(self._request_ids)}
        drawn = [places[decodes[row].request_id] for row in rows]
        token_ids = inputs.token_ids
        index = send({"rows": np.array(rows, np.int64), "drawn": np.array(drawn, np.int64)}, token_ids.device)
        token_ids[index["rows"]] = self._tokens.on(token_ids.device)[index["drawn"]]
