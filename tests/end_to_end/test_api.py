"""What clients see of a real daemon with the real model."""

import json
import os
import socket
from typing import Any

import pytest

from sarathid.paths import API_SOCKET
from sarathid.protocol.control import Retuned, SetBudget
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import IterationStats, RequestStats
from tests.end_to_end.running_daemon import RunningDaemon, first_of, wait_until

PROMPT = "The capital of France is"
MODEL = "smollm2-135m"


def test_openais_client_completes_whole_and_streamed_alike(daemon: RunningDaemon) -> None:
    with daemon.openai() as client:
        whole = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=8, temperature=0)
        stream = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=8, temperature=0, stream=True)
        streamed = "".join(event.choices[0].text for event in stream)

    assert whole.choices[0].text.startswith(" Paris")
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 8
    assert streamed == whole.choices[0].text


def test_openais_client_chats_whole_and_streamed_alike(daemon: RunningDaemon) -> None:
    messages = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
    with daemon.openai() as client:
        wanted: dict[str, Any] = {"model": MODEL, "messages": messages, "max_completion_tokens": 12, "temperature": 0}
        whole = client.chat.completions.create(**wanted)
        stream = client.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True})
        events = list(stream)

    assert "Paris" in (whole.choices[0].message.content or "")
    streamed = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert streamed == whole.choices[0].message.content
    assert events[-1].usage is not None and whole.usage is not None
    assert events[-1].usage.total_tokens == whole.usage.total_tokens


def test_an_answer_has_the_form_that_was_asked_for(daemon: RunningDaemon) -> None:
    schema = {
        "type": "object",
        "properties": {"capital": {"enum": ["Paris", "London"]}, "people": {"type": "integer", "maximum": 99999999}},
        "required": ["capital", "people"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    with daemon.openai() as client:
        answer = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            response_format=form,
            temperature=0,
            max_tokens=40,
        ).choices[0]

    found = json.loads(answer.message.content or "")
    assert set(found) == {"capital", "people"}
    assert found["capital"] in ("Paris", "London")
    assert isinstance(found["people"], int)
    assert answer.finish_reason == "stop"


def test_a_text_is_scored_as_its_own_continuation(daemon: RunningDaemon) -> None:
    asked: dict[str, Any] = {"model": MODEL, "temperature": 0, "logprobs": 2}
    with daemon.openai() as client:
        written = client.completions.create(prompt=PROMPT, max_tokens=6, **asked).choices[0]
        scored = client.completions.create(prompt=PROMPT + written.text, max_tokens=0, echo=True, **asked).choices[0]

    assert written.logprobs is not None and scored.logprobs is not None
    own, again = written.logprobs.token_logprobs, scored.logprobs.token_logprobs
    assert own is not None and again is not None and scored.logprobs.top_logprobs is not None
    assert scored.text == PROMPT + written.text
    assert again[0] is None
    assert again[-6:] == pytest.approx(own, abs=1e-2)  # a prompt's attention is summed in another order
    assert all(
        max(top.values()) == logprob for top, logprob in zip(scored.logprobs.top_logprobs[-6:], again[-6:], strict=True)
    )


def test_the_same_seed_gives_the_same_text(daemon: RunningDaemon) -> None:
    body = {"prompt": PROMPT, "max_tokens": 12, "seed": 7}
    with daemon.http() as client:
        texts = {client.post("/v1/completions", json=body).json()["choices"][0]["text"] for _ in range(2)}

    assert len(texts) == 1


def test_plain_http_over_the_socket_is_enough(daemon: RunningDaemon) -> None:
    body = json.dumps({"prompt": PROMPT, "max_tokens": 2, "temperature": 0}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.fspath(daemon.runtime_dir / API_SOCKET))
        connection.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["text"].startswith(" Paris")


def test_a_streaming_client_that_goes_away_frees_its_blocks_within_two_iterations(daemon: RunningDaemon) -> None:
    body = {"prompt": PROMPT, "max_tokens": 2000, "ignore_eos": True, "stream": True}
    with daemon.records() as records, daemon.http() as client:
        with client.stream("POST", "/v1/completions", json=body) as response:
            next(response.iter_lines())
        left_at = daemon.status().num_iterations
        ended = first_of(records, RequestStats, lambda stats: stats.finish_reason is FinishReason.CANCELLED)

    assert ended.num_output_tokens < 200
    status = daemon.status()
    assert status.num_iterations - left_at <= 2
    assert status.num_blocks_used == 0


def test_a_waiting_client_that_goes_away_frees_its_blocks_too(daemon: RunningDaemon) -> None:
    body = json.dumps({"prompt": PROMPT, "max_tokens": 2000, "ignore_eos": True}).encode()
    with daemon.records() as records:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(os.fspath(daemon.runtime_dir / API_SOCKET))
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
            connection.sendall(body)
            first_of(records, IterationStats, lambda stats: stats.num_decode_tokens > 0)
        first_of(records, RequestStats, lambda stats: stats.finish_reason is FinishReason.CANCELLED)

    assert daemon.status().num_blocks_used == 0


def test_a_new_budget_is_in_force_from_the_iteration_that_its_answer_names(daemon: RunningDaemon) -> None:
    body = {"prompt": list(range(1000, 1400)), "max_tokens": 1, "temperature": 0}
    with daemon.records() as records, daemon.http() as client:
        retuned = daemon.ask(SetBudget(budget=32), Retuned)
        client.post("/v1/completions", json=body)
        chunked = first_of(records, IterationStats, lambda stats: stats.sequence_number == retuned.iteration)
        daemon.ask(SetBudget(budget=128), Retuned)

    assert (retuned.old.token_budget, retuned.new.token_budget) == (128, 32)
    assert chunked.token_budget == 32
    assert [chunk.length for chunk in chunked.chunks] == [32]


def test_metrics_count_what_was_served(daemon: RunningDaemon) -> None:
    with daemon.http() as client:
        client.post("/v1/completions", json={"prompt": PROMPT, "max_tokens": 2})
        wait_until(lambda: "sarathid_iterations_total" in client.get("/metrics").text, "metrics")
        lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")

    assert float(lines["sarathid_generation_tokens_total"]) >= 2
    assert float(lines["sarathid_time_to_first_token_seconds_count"]) >= 1
