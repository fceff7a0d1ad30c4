"""All figures that `sarathid reproduce` knows, in the order in which they are told."""

from sarathid.errors import ConfigError
from sarathid.evaluation.adaptive_figure import ADAPTIVE_FIGURES
from sarathid.evaluation.capacity_figures import CAPACITY_FIGURES
from sarathid.evaluation.cost_figures import COST_FIGURES
from sarathid.evaluation.figure import Figure
from sarathid.evaluation.latency_figures import LATENCY_FIGURES
from sarathid.evaluation.sequence_figure import SEQUENCE_FIGURES

FIGURES = (*CAPACITY_FIGURES, *SEQUENCE_FIGURES, *LATENCY_FIGURES, *COST_FIGURES, *ADAPTIVE_FIGURES)
# What the headline needs: the figures that --quick leaves out take minutes, the last one takes longer than all others.
_LEFT_OUT_QUICK = {"fig12", "fig13b", "sequences"}
_ONLY_BY_NAME = {"adaptive"}


def choose(names: list[str], is_quick: bool) -> tuple[Figure, ...]:
    """Return the figures of those names, without names all of them (the quick ones); raises `ConfigError`."""
    known = {figure.name: figure for figure in FIGURES}
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no figure {name!r}; choose of {', '.join(known)}")
    if names:
        return tuple(known[name] for name in known if name in names)
    left_out = _ONLY_BY_NAME | _LEFT_OUT_QUICK if is_quick else _ONLY_BY_NAME
    return tuple(figure for figure in FIGURES if figure.name not in left_out)
