"""What a stored run took against an earlier one: `python -m tests.bench.hot_paths.ratios [NOW [THEN]]`.

NOW and THEN are numbers of runs, the last one and the one before it by default. A ratio above 1 is slower. The times of
all paths move together when the machine's speed does: the middle ratio, printed last, says by how much.
"""

import statistics
import sys
from collections.abc import Collection, Iterator

from tests.bench.hot_paths.stored_run import StoredRun, Taken, stored_runs


def chosen(runs: list[StoredRun], numbers: list[str]) -> tuple[StoredRun, StoredRun | None]:
    """Return the run of interest and the one to hold it against, None where it is the first.

    Raises SystemExit where there is no such run.
    """
    position = {run.number: index for index, run in enumerate(runs)}
    unknown = [number for number in numbers if number not in position]
    if not runs or unknown or len(numbers) > 2:
        raise SystemExit(f"Name one or two of the stored runs ({', '.join(position) or 'none yet: make bench'}).")
    now = position[numbers[0]] if numbers else len(runs) - 1
    then = position[numbers[1]] if len(numbers) == 2 else now - 1
    return runs[now], runs[then] if then >= 0 else None


def ratios(now: StoredRun, then: StoredRun) -> dict[str, Taken]:
    """Return the times of `now`, each as a multiple of `then`'s, of the hot paths that both have."""
    return {
        name: Taken(taken.fastest / then.taken[name].fastest, taken.median / then.taken[name].median)
        for name, taken in now.taken.items()
        if name in then.taken
    }


def report(now: StoredRun, then: StoredRun | None) -> Iterator[str]:
    """Yield the lines of a table: microseconds of each hot path's fastest and median round, and their ratios."""
    found = {} if then is None else ratios(now, then)
    yield f"Run {now.title}" + ("" if then is None else f" against {then.title}")
    if then is not None and then.machine != now.machine:
        yield f"These ratios say nothing of the sources: {now.machine} against {then.machine}."
    yield f"{'':40}{'fastest us':>12}{'ratio':>8}{'median us':>12}{'ratio':>8}"
    for name, taken in now.taken.items():
        fastest_ratio, median_ratio = _written(found.get(name))
        yield f"{name:40}{taken.fastest * 1e6:12.1f}{fastest_ratio:>8}{taken.median * 1e6:12.1f}{median_ratio:>8}"
    if found:
        fastest_ratio, median_ratio = _written(_middle(found.values()))
        yield f"{'the middle ratio':40}{fastest_ratio:>20}{median_ratio:>20}"


def _middle(found: Collection[Taken]) -> Taken:
    return Taken(
        statistics.median(ratio.fastest for ratio in found), statistics.median(ratio.median for ratio in found)
    )


def _written(ratio: Taken | None) -> tuple[str, str]:
    return ("-", "-") if ratio is None else (f"{ratio.fastest:.2f}", f"{ratio.median:.2f}")


def main() -> None:
    for line in report(*chosen(stored_runs(), sys.argv[1:])):
        print(line)


if __name__ == "__main__":
    main()
