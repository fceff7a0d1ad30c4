"""What nobody expected is in the log, and out of it comes a number."""

from sarathid.executor.unexpected import UnexpectedFault


def test_what_is_told_of_it_is_where_to_look_and_the_log_has_the_rest() -> None:
    try:
        raise OSError("/home/alice/secret.safetensors is not there")
    except OSError:
        fault = UnexpectedFault.caught()

    assert "alice" not in str(fault)
    assert fault.number in str(fault)
    assert fault.number in fault.for_log
    assert "/home/alice/secret.safetensors is not there" in fault.for_log
