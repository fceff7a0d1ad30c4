"""The meter over a library that speaks NVML's interface, compiled here: what pynvml loads and asks is real."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sarathid.telemetry.gpu_meter import GPUMeter

NVML = """
typedef struct { unsigned gpu, memory; } use_t;
enum { OK = 0, NOT_SUPPORTED = 3 };
int nvmlInitWithFlags(unsigned flags) { return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return "not supported"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(long)(index + 1); return OK; }
int nvmlDeviceGetUtilizationRates(void *device, use_t *use) { use->gpu = 91; use->memory = 40; return OK; }
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) { *celsius = 60 + (long)device; return OK; }
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    if ((long)device == 2) return NOT_SUPPORTED;
    *milliwatts = 388400;
    return OK;
}
"""
LOOK = """
import time
from sarathid.telemetry.gpu_meter import GPUMeter
meter = GPUMeter()
meter.start()
until_s = time.monotonic() + 20.0
while not meter.latest and time.monotonic() < until_s:
    time.sleep(0.01)
meter.close()
for gpu in meter.latest:
    print(gpu.index, gpu.load, gpu.temperature_c, gpu.power_w)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="takes a C compiler")
def test_each_device_is_told_with_what_it_says_of_itself(tmp_path: Path) -> None:
    pytest.importorskip("pynvml")
    source = tmp_path / "nvml.c"
    source.write_text(NVML)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "libnvidia-ml.so.1", source], check=True)
    environment = os.environ | {"LD_LIBRARY_PATH": os.fspath(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, check=True, capture_output=True, text=True, timeout=60.0
    )
    assert told.stdout.splitlines() == ["0 0.91 61 388.4", "1 0.91 62 None"]


def test_where_there_is_no_library_nothing_is_told() -> None:
    meter = GPUMeter()
    if shutil.which("nvidia-smi") is not None:
        pytest.skip("there is one here")
    meter.start()
    meter.close()
    assert meter.latest == ()
