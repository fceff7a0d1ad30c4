"""Workloads by name: those of the paper, simple ones, and CSV files."""

import random
from dataclasses import dataclass
from pathlib import Path

from sarathid.errors import ConfigError
from sarathid.request_list import RequestList, read_csv
from sarathid.workload import (
    Arrivals,
    ConstantLength,
    GammaArrivals,
    PoissonArrivals,
    QuantileLength,
    UniformLength,
    Workload,
)

DEFAULT_NUM_REQUESTS = 512
MAX_NUM_REQUESTS = 1_000_000
FORMS = "sharegpt4, arxiv, constant:PROMPT:OUTPUT, uniform:LOW-HIGH:LOW-HIGH or a .csv file"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Lengths that follow a published distribution; longer totals were removed there, and are here."""

    prompt: QuantileLength
    output: QuantileLength
    max_total_tokens: int


# Median, 90th percentile and standard deviation are those of the paper's Table 2, the output's standard deviations
# exchanged, as the public trace of the first shows they must be. The knots between are chosen to give them.
DATASETS = {
    "sharegpt4": Dataset(
        prompt=QuantileLength(
            (
                (0.0, 4),
                (0.1, 80),
                (0.2, 290),
                (0.3, 840),
                (0.4, 1270),
                (0.5, 1765),
                (0.6, 2400),
                (0.7, 3140),
                (0.8, 4260),
                (0.9, 5800),
                (0.99, 7560),
                (1.0, 8150),
            )
        ),
        output=QuantileLength(
            ((0.0, 1), (0.1, 78), (0.25, 240), (0.5, 417), (0.75, 608), (0.9, 838), (0.99, 998), (1.0, 1024))
        ),
        max_total_tokens=8192,
    ),
    "arxiv": Dataset(
        prompt=QuantileLength(
            (
                (0.0, 900),
                (0.1, 3080),
                (0.25, 4850),
                (0.5, 7090),
                (0.75, 9800),
                (0.9, 13060),
                (0.99, 15800),
                (1.0, 16200),
            )
        ),
        output=QuantileLength(
            ((0.0, 50), (0.1, 112), (0.25, 157), (0.5, 208), (0.75, 277), (0.9, 371), (0.99, 490), (1.0, 560))
        ),
        max_total_tokens=16384,
    ),
}


def load_requests(
    name: str, *, num_requests: int | None = None, seed: int = 0, scale: int = 1, burstiness: float = 1.0
) -> RequestList:
    """Return the requests that `name` stands for (see `FORMS`), lengths divided by `scale`.

    Generated ones arrive once a second on average, Poisson or, with another `burstiness` than 1, with gamma gaps;
    the same seed gives the same lengths and the same arrivals but for their rate. Raises `ConfigError` when `name` or
    a number is not understood.
    """
    if num_requests is not None and not 1 <= num_requests <= MAX_NUM_REQUESTS:
        raise ConfigError(f"{num_requests} requests are no workload; ask for 1 to {MAX_NUM_REQUESTS}")
    if scale < 1:
        raise ConfigError(f"a scale of 1:{scale} is not understood; write 1:8")
    if not 0.1 <= burstiness <= 100.0:
        raise ConfigError(f"a burstiness of {burstiness} is not between 0.1 and 100")
    if name.endswith(".csv"):
        listed = read_csv(Path(name))
        return (listed if num_requests is None else listed.first(num_requests)).scaled(scale)
    arrivals: Arrivals = PoissonArrivals(1.0) if burstiness == 1.0 else GammaArrivals(1.0, burstiness)
    workload, max_model_len = _workload(name, arrivals)
    requests = workload.first(num_requests or DEFAULT_NUM_REQUESTS, random.Random(seed))
    return RequestList(requests, 1.0, max_model_len).scaled(scale)


def parse_scale(text: str) -> int:
    """Return 8 for `1:8`; raises `ConfigError` for anything else than one to a whole number."""
    one, _, divisor = text.partition(":")
    if one != "1" or not divisor.isdecimal() or not 1 <= int(divisor) <= 4096:
        raise ConfigError(f"a scale of {text!r} is not understood; write 1:8")
    return int(divisor)


def _workload(name: str, arrivals: Arrivals) -> tuple[Workload, int]:
    """Return the workload and the longest context that it may need."""
    if name in DATASETS:
        data = DATASETS[name]
        return Workload(arrivals, data.prompt, data.output, data.max_total_tokens), data.max_total_tokens
    kind, _, lengths = name.partition(":")
    prompt, _, output = lengths.partition(":")
    if kind == "constant":
        fixed = ConstantLength(_number(name, prompt)), ConstantLength(_number(name, output))
        return Workload(arrivals, *fixed), fixed[0].num_tokens + fixed[1].num_tokens
    if kind == "uniform":
        ranges = _range(name, prompt), _range(name, output)
        return Workload(arrivals, *ranges), ranges[0].high + ranges[1].high
    raise ConfigError(f"there is no workload {name!r}; give {FORMS}")


def _range(name: str, text: str) -> UniformLength:
    low, _, high = text.partition("-")
    length = UniformLength(_number(name, low), _number(name, high))
    if length.low > length.high:
        raise ConfigError(f"{name}: {text} is no range; write the smaller length first")
    return length


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1 << 24:
        raise ConfigError(f"{name}: {text!r} is not a number of tokens of at least 1; give {FORMS}")
    return int(text)
