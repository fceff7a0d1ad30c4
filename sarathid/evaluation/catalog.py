"""All figures that `sarathid reproduce` knows, in the order in which they are told."""

from sarathid.errors import ConfigError
from sarathid.evaluation.capacity_figures import CAPACITY_FIGURES
from sarathid.evaluation.cost_figures import COST_FIGURES
from sarathid.evaluation.figure import Figure
from sarathid.evaluation.latency_figures import LATENCY_FIGURES
from sarathid.evaluation.sequence_figure import SEQUENCE_FIGURES

FIGURES = (*CAPACITY_FIGURES, *SEQUENCE_FIGURES, *LATENCY_FIGURES, *COST_FIGURES)
# What the headline needs: the figures that --quick leaves out take minutes.
_LEFT_OUT_QUICK = {"fig12", "fig13b", "sequences"}


def choose(names: list[str], is_quick: bool) -> tuple[Figure, ...]:
    """Return the figures of those names, without names all of them (the quick ones); raises `ConfigError`."""
    known = {figure.name: figure for figure in FIGURES}
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no figure {name!r}; choose of {', '.join(known)}")
    if names:
        return tuple(known[name] for name in known if name in names)
    return tuple(figure for figure in FIGURES if not (is_quick and figure.name in _LEFT_OUT_QUICK))
