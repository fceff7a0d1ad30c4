"""Endpoints name one address of one interface, or are refused in words."""

import socket

import pytest

from sarathid.errors import ConfigError
from sarathid.executor.network import interface_of, listen, read_endpoint, watch


def test_an_endpoint_is_a_host_and_a_port() -> None:
    assert read_endpoint("127.0.0.1:29500") == ("127.0.0.1", 29500)
    assert read_endpoint("localhost:1") == ("127.0.0.1", 1)


@pytest.mark.parametrize("text", ["", "host", ":29500", "127.0.0.1:0", "127.0.0.1:65536", "::1:29500", "a b:1"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        read_endpoint(text)


@pytest.mark.parametrize("host", ["a" * 70, "a..b"])
def test_what_no_host_can_be_called_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="can't be the name of a host"):
        read_endpoint(f"{host}:29500")


def test_all_interfaces_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="one interface only"):
        read_endpoint("0.0.0.0:29500")


def test_an_address_tells_its_interface() -> None:
    assert interface_of("127.0.0.1") == "lo"
    with pytest.raises(ConfigError, match=r"no interface of this machine has the address 203\.0\.113\.7"):
        interface_of("203.0.113.7")


def test_listening_is_on_that_address_alone() -> None:
    with listen("127.0.0.1") as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1" and port > 0
    with pytest.raises(ConfigError, match=r"nobody can listen at 203\.0\.113\.7:29500"):
        listen("203.0.113.7", 29500)


def test_a_peer_out_of_reach_is_missed_within_five_seconds() -> None:
    with listen("127.0.0.1") as listening, socket.create_connection(listening.getsockname()) as connection:
        watch(connection)
        idle_s, interval_s, num_questions, unacknowledged_ms = (
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert idle_s + interval_s * num_questions <= 5
        assert unacknowledged_ms <= 5000
