"""All hot paths whose history is kept, by name; a name that changes begins a history of its own."""

from tests.bench.hot_paths.detokenizing import DETOKENIZING
from tests.bench.hot_paths.kv_blocks import KV_BLOCKS
from tests.bench.hot_paths.scheduling import SCHEDULING
from tests.bench.hot_paths.streaming import STREAMING
from tests.bench.hot_paths.telling import TELLING

HOT_PATHS = {path.name: path for path in (*SCHEDULING, *KV_BLOCKS, *TELLING, *DETOKENIZING, *STREAMING)}
