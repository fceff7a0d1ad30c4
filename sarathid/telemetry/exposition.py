"""Families of metrics, and the two texts in which Prometheus reads them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from sarathid.histogram import LatencyHistogram

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels: TypeAlias = tuple[tuple[str, str], ...]


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: `suffix` is what its name has behind its family's."""

    value: float
    labels: Labels = ()
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """Samples of one meaning; the `name` of a counter is without the `_total` that its samples have."""

    name: str
    kind: Kind
    words: str
    samples: tuple[Sample, ...]

    def labelled(self, labels: Labels) -> "Family":
        """Return the same with these labels before each sample's own."""
        return replace(self, samples=tuple(replace(sample, labels=labels + sample.labels) for sample in self.samples))


def counter(name: str, words: str, value: float) -> Family:
    """Return a family of one counter."""
    return Family(name, Kind.COUNTER, words, (Sample(value, suffix="_total"),))


def counters(name: str, words: str, label: str, values: Mapping[Any, float]) -> Family:
    """Return a counter for each value of a label."""
    samples = [Sample(value, ((label, str(key)),), "_total") for key, value in sorted(values.items())]
    return Family(name, Kind.COUNTER, words, tuple(samples))


def gauge(name: str, words: str, value: float | None) -> Family:
    """Return a family of one gauge, without it where there is no value."""
    return Family(name, Kind.GAUGE, words, () if value is None else (Sample(value),))


def gauges(name: str, words: str, samples: Iterable[tuple[Labels, float]]) -> Family:
    """Return a gauge for each set of labels."""
    return Family(name, Kind.GAUGE, words, tuple(Sample(value, labels) for labels, value in samples))


def histogram(name: str, words: str, values: LatencyHistogram, bounds: Sequence[float]) -> Family:
    """Return the buckets up to each bound (within 1 %), the sum and the count."""
    at_most = zip((*map(str, bounds), "+Inf"), (*values.num_at_most_each(bounds), values.count), strict=True)
    buckets = [Sample(count, (("le", bound),), "_bucket") for bound, count in at_most]
    ends = (Sample(values.sum_s, suffix="_sum"), Sample(values.count, suffix="_count"))
    return Family(name, Kind.HISTOGRAM, words, (*buckets, *ends))


def as_text(families: Iterable[Family]) -> str:
    """Return Prometheus' text format, version 0.0.4."""
    return "".join(f"{line}\n" for family in families for line in _text_lines(family))


def as_openmetrics(families: Iterable[Family]) -> str:
    """Return OpenMetrics' text format, version 1.0."""
    lines = [f"{line}\n" for family in families for line in _openmetrics_lines(family)]
    return "".join((*lines, "# EOF\n"))


def _text_lines(family: Family) -> Iterator[str]:
    name = f"{family.name}_total" if family.kind is Kind.COUNTER else family.name
    yield f"# HELP {name} {family.words}"
    yield f"# TYPE {name} {family.kind}"
    yield from _sample_lines(family)


def _openmetrics_lines(family: Family) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind}"
    if family.name.endswith("_seconds"):
        yield f"# UNIT {family.name} seconds"
    yield f"# HELP {family.name} {family.words}"
    yield from _sample_lines(family)


def _sample_lines(family: Family) -> Iterator[str]:
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels)
        yield f"{family.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {sample.value}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
