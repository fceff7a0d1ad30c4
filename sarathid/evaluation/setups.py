"""The paper's four set-ups (its tables 1 and 3) and the systems it compares, with the artifact's settings."""

from dataclasses import dataclass

STALL_FREE = "stall-free"
PREFILL_FIRST = "prefill-first"
MIXED_WHOLE = "mixed-whole"

STRICT = "strict"
RELAXED = "relaxed"

MAX_MODEL_LEN = {"sharegpt4": 8192, "arxiv": 16384}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A model on its devices; targets are seconds of P99 TBT.

    `relaxed_budget` is the token budget under the relaxed target, `max_reserving_seqs` the most sequences of the
    baseline that reserves the longest context for each.
    """

    model: str
    profile: str
    strict_s: float
    relaxed_s: float
    relaxed_budget: int = 2048
    max_reserving_seqs: int

    def target_s(self, slo: str) -> float:
        return self.strict_s if slo == STRICT else self.relaxed_s

    def budget(self, slo: str) -> int:
        """Return the token budget of the stall-free system under that target."""
        return 512 if slo == STRICT else self.relaxed_budget


MISTRAL = Setup(model="mistral-7b", profile="a100/mistral-7b-tp1", strict_s=0.1, relaxed_s=0.5, max_reserving_seqs=16)
YI = Setup(model="yi-34b", profile="a100/yi-34b-tp2", strict_s=0.2, relaxed_s=1.0, max_reserving_seqs=16)
LLAMA2 = Setup(
    model="llama2-70b",
    profile="a40/llama2-70b-tp4-pp2",
    strict_s=1.0,
    relaxed_s=5.0,
    relaxed_budget=1536,
    max_reserving_seqs=8,
)
FALCON = Setup(
    model="falcon-180b", profile="a100/falcon-180b-tp4-pp2", strict_s=1.0, relaxed_s=5.0, max_reserving_seqs=8
)
FALCON_TP8 = Setup(
    model="falcon-180b-tp8", profile="a100/falcon-180b-tp8", strict_s=1.0, relaxed_s=5.0, max_reserving_seqs=8
)
SETUPS = (MISTRAL, YI, LLAMA2, FALCON)
