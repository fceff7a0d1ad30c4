"""What a chat's later rounds gain from their history: `python -m tests.bench.chat_rounds RUNTIME_DIR`.

Holds the same chat of some rounds with a running daemon, now with its history in the prefix cache, now with every round
under a salt of its own so that nothing is cached, in turn, and prints the time to first token of each round.
"""

import argparse
import statistics
import time
import uuid
from pathlib import Path

from sarathictl.client.api import iterate_completion
from sarathictl.client.endpoint import Endpoint

NUM_ROUNDS = 8
NUM_WORDS = 120
NUM_ANSWER_TOKENS = 32


def question(number: int) -> str:
    """Return a question of some length that differs from round to round."""
    return f"Round {number}. " + " ".join(f"word{number * NUM_WORDS + index}" for index in range(NUM_WORDS))


def hold_chat(api_socket: Path, *, is_cached: bool) -> list[float]:
    """Return the seconds to the first token of each round of a new chat."""
    chat_salt = uuid.uuid4().hex
    messages: list[dict[str, str]] = []
    ttfts_s = []
    for number in range(NUM_ROUNDS):
        messages.append({"role": "user", "content": question(number)})
        body = {
            "messages": messages,
            "max_tokens": NUM_ANSWER_TOKENS,
            "temperature": 0.0,
            "ignore_eos": True,
            "cache_salt": chat_salt if is_cached else uuid.uuid4().hex,
        }
        sent_s = time.monotonic()
        answer = ""
        ttft_s = None
        for time_s, event in iterate_completion(api_socket, body):
            ttft_s = time_s - sent_s if ttft_s is None else ttft_s
            answer += event["choices"][0]["delta"].get("content", "")
        assert ttft_s is not None
        ttfts_s.append(ttft_s)
        messages.append({"role": "assistant", "content": answer})
    return ttfts_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtime_dir", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    api_socket = Endpoint(arguments.runtime_dir).api
    chats: dict[bool, list[list[float]]] = {True: [], False: []}
    for _ in range(arguments.repeats):
        for is_cached, held in chats.items():
            held.append(hold_chat(api_socket, is_cached=is_cached))
    medians = {
        is_cached: [statistics.median(ttfts_s) for ttfts_s in zip(*held, strict=True)]
        for is_cached, held in chats.items()
    }
    print("round  cached ms  not cached ms  ratio")
    for number, (cached_s, whole_s) in enumerate(zip(medians[True], medians[False], strict=True), start=1):
        print(f"{number:>5}  {cached_s * 1e3:>9.0f}  {whole_s * 1e3:>13.0f}  {cached_s / whole_s:>5.2f}")


if __name__ == "__main__":
    main()
