"""How long vLLM's scheduler takes for what `tests.bench.scheduler_step` times of ours: run by a Python that has vLLM.

    PYTHON tests/bench/vllm_scheduler_step.py MODEL_DIRECTORY

The model's config.json is read, none of its weights. Prefix caching and chunked prefill are on, as they are by default.
"""

import statistics
import sys
import time

import torch
from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

NUM_SEQUENCES = (32, 128, 512)
NUM_STEPS = 300
NUM_PROMPT_TOKENS = 512
BLOCK_SIZE = 16


def make_scheduler(model: str, num_sequences: int) -> Scheduler:
    max_model_len = NUM_PROMPT_TOKENS + NUM_STEPS + 2
    num_blocks = 2 * num_sequences * -(-max_model_len // BLOCK_SIZE)
    cache = CacheConfig(block_size=BLOCK_SIZE, enable_prefix_caching=True)
    cache.num_gpu_blocks = num_blocks
    config = VllmConfig(
        model_config=ModelConfig(model=model, dtype="float32", max_model_len=max_model_len, skip_tokenizer_init=True),
        scheduler_config=SchedulerConfig(
            max_num_seqs=num_sequences,
            max_num_batched_tokens=num_sequences * NUM_PROMPT_TOKENS,
            max_model_len=max_model_len,
            enable_chunked_prefill=True,
            is_encoder_decoder=False,
        ),
        cache_config=cache,
        device_config=DeviceConfig("cpu"),
    )
    spec = FullAttentionSpec(block_size=BLOCK_SIZE, num_kv_heads=1, head_size=64, dtype=torch.float32)
    scheduler = Scheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(
            num_blocks=num_blocks, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)]
        ),
        structured_output_manager=StructuredOutputManager(config),
        block_size=BLOCK_SIZE,
        log_stats=False,
    )
    init_none_hash(sha256)
    hasher = get_request_block_hasher(BLOCK_SIZE, sha256)
    for number in range(num_sequences):
        params = SamplingParams(max_tokens=NUM_STEPS + 1, ignore_eos=True)
        tokens = [(number * 7 + place) % 1000 for place in range(NUM_PROMPT_TOKENS)]
        scheduler.add_request(
            Request(
                request_id=str(number),
                prompt_token_ids=tokens,
                sampling_params=params,
                pooling_params=None,
                block_hasher=hasher,
            )
        )
    return scheduler


def step(scheduler: Scheduler) -> tuple[float, float]:
    """Run one iteration without a model; return the microseconds of scheduling and of taking its tokens in."""
    began = time.perf_counter_ns()
    scheduled = scheduler.schedule()
    after = time.perf_counter_ns()
    names = list(scheduled.num_scheduled_tokens)
    output = ModelRunnerOutput(
        req_ids=names,
        req_id_to_index={name: index for index, name in enumerate(names)},
        sampled_token_ids=[[1] for _ in names],
    )
    updating = time.perf_counter_ns()
    scheduler.update_from_output(scheduled, output)
    return (after - began) / 1e3, (time.perf_counter_ns() - updating) / 1e3


def main() -> None:
    print("sequences   schedule median   fastest   update median   fastest   (us)")
    for num_sequences in NUM_SEQUENCES:
        scheduler = make_scheduler(sys.argv[1], num_sequences)
        step(scheduler)  # all the prompts
        schedule_us, update_us = zip(*(step(scheduler) for _ in range(NUM_STEPS - 1)), strict=True)
        assert len(scheduler.running) == num_sequences
        print(
            f"{num_sequences:9}{statistics.median(schedule_us):18.1f}{min(schedule_us):10.1f}"
            f"{statistics.median(update_us):16.1f}{min(update_us):10.1f}"
        )


if __name__ == "__main__":
    main()
