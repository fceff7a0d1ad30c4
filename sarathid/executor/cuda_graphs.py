"""Captures a pass as a CUDA graph, hundreds of launches as one; no GPU has run it yet."""

import torch
from torch import Tensor

from sarathid.executor.decode_graphs import Run


class CudaCapture:
    """Records passes into graphs that share memory: they run one at a time, and what one leaves is copied at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Run) -> Run:
        """Record what `run` launches, and return what launches all of it again and gives the same tensor.

        It runs once before that: what is compiled, loaded or taken by a library at a first call can't be in a capture.
        Only what this thread does is forbidden meanwhile: NCCL's own threads look at their events as ever.
        """
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            run()
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                output = run()
        finally:
            torch.cuda.set_stream(current)  # which a capture that fails does not

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay
