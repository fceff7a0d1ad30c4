"""A request whose answer is the same each time: greedy or seeded, of a length that is known before."""

import random
from dataclasses import dataclass

from sarathictl.client.http_response import JSONObject
from sarathid.workload import random_token_ids

TOP_K = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The request; a `temperature` of 0 is greedy.

    A draw is among few tokens: where a whole vocabulary is about as likely, what another order of summing floats adds
    to a logit is as much as lies between one token and the next, and 1 of 12 such answers was seen to differ by it.
    """

    prompt: tuple[int, ...]
    num_output_tokens: int
    temperature: float = 0.0
    seed: int = 0

    @property
    def body(self) -> JSONObject:
        """What is sent: every token of the answer comes back by its id, in an event of its own."""
        return {
            "prompt": self.prompt,
            "max_tokens": self.num_output_tokens,
            "temperature": self.temperature,
            "top_k": TOP_K,
            "seed": self.seed,
            "ignore_eos": True,
            "return_token_ids": True,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLengths:
    """Between which lengths probes are drawn, both included."""

    prompt: tuple[int, int]
    output: tuple[int, int]

    def draw(self, rng: random.Random, vocab_size: int) -> Probe:
        """Return a probe, every second one greedy."""
        return Probe(
            prompt=tuple(random_token_ids(rng.randint(*self.prompt), vocab_size, rng)),
            num_output_tokens=rng.randint(*self.output),
            temperature=rng.choice((0.0, 1.0)),
            seed=rng.randrange(1 << 31),
        )
