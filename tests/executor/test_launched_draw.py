import torch

from sarathid.executor.launched_draw import LaunchedDraw, TokensOnDevice, TokensOnHost

CPU = torch.device("cpu")


def test_a_row_without_numbers_has_no_token_and_one_that_can_be_embedded() -> None:
    on_device = TokensOnDevice(torch.tensor([7, 1 << 40, 9]), torch.tensor([True, False, True]))
    on_host = TokensOnHost((7, None, 9))

    assert on_device.read() == on_host.read() == (7, None, 9)
    assert on_device.on(CPU).tolist() == on_host.on(CPU).tolist() == [7, 0, 9]


def test_what_draws_nothing_gives_nothing() -> None:
    assert LaunchedDraw().read().token_ids == ()
    assert TokensOnHost().on(CPU).dtype == torch.int64
