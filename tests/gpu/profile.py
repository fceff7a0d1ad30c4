"""A cost profile of the model on this device, fitted to what its iterations take, as `sarathid profile` makes it."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

from sarathid.clock import MonotonicClock
from sarathid.commands.measured_profile import measured_profile
from sarathid.costmodel.cost_profile import to_toml
from sarathid.costmodel.fit import fit
from sarathid.costmodel.library import profile_path
from sarathid.executor.profiler import measurable, measure
from sarathid.models.model_files import resolve
from tests.gpu.mistral import Loaded
from tests.gpu.report import Row, Verdict

MOST_TOKENS = {"cuda": 4096, "cpu": 64}
SHARE_TO_MEASURE = 0.8  # of the time; the rest is for the fit


def measure_profile(model: Loaded, limit_s: float) -> Iterator[Row]:
    """Measure as many kinds of iterations as there is time for, fit a profile to them and write it.

    It goes to the folder `OUT`, if that is set, else to where `sarathid profile` leaves it.
    """
    info, clock = model.info, MonotonicClock()
    shapes = list(measurable(info, model.config.max_num_seqs, MOST_TOKENS[info.device.partition(":")[0]]))
    random.Random(0).shuffle(shapes)
    end_s = clock.now_s() + SHARE_TO_MEASURE * limit_s
    samples = []
    for shape in shapes:
        if clock.now_s() > end_s:
            break
        samples.append(measure(model.executor, info, shape, clock))
    files = resolve(model.config.model)
    costs = fit(samples, files.config.num_layers)
    found = measured_profile(model.config, info, files.config, costs, samples, ())
    path = profile_path(found.name) if "OUT" not in os.environ else Path(os.environ["OUT"]) / f"{found.name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_toml(found), encoding="utf-8")
    median, p95 = found.provenance.fit_error_pct["iterations"]
    words = f"{len(samples)} of {len(shapes)} kinds of iterations, off by {median} % (median), {p95} % (P95): {path}"
    yield Row(f"cost profile {found.name}", Verdict.MEASURED, words)
