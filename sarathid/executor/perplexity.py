"""How well a model predicts a text: what quantizing it costs shows here first."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from sarathid.executor.model_runner import ModelRunner
from sarathid.scheduler.batch import ScheduledBatch, ScheduledSequence

_CHUNK_LEN = 128


def perplexity(runner: ModelRunner, token_ids: Sequence[int], block_size: int) -> float:
    """Return e to the mean of -log p of every token but the first, each given all before it.

    There are two tokens at least, and the KV cache holds them all.
    """
    assert len(token_ids) > 1
    num_blocks = -(-len(token_ids) // block_size)
    loss = 0.0
    for first in range(0, len(token_ids) - 1, _CHUNK_LEN):
        following = torch.tensor(token_ids[first + 1 : first + 1 + _CHUNK_LEN])
        chunk = ScheduledSequence(
            request_id=0,
            token_ids=tuple(token_ids[first : first + len(following)]),
            first_position=first,
            block_ids=tuple(range(num_blocks)),
            sampling=None,
        )
        logits = runner.logits(ScheduledBatch(chunks=(chunk,)))
        loss += float(F.cross_entropy(logits.cpu(), following, reduction="sum"))
    return math.exp(loss / (len(token_ids) - 1))
