"""Each group has its own rate, under its own schedule."""

from functools import partial

from torch.optim import SGD, Optimizer

from tests.optim.small import network, optimizer_of
from vqgen.optim import Constant, Cosine, ParameterGroup, Rates


def test_each_group_keeps_its_own_rate_under_a_schedule_and_where_a_run_goes_on_at_another():
    def rates(lr: float) -> tuple[Optimizer, Rates]:
        optimizer = optimizer_of(network(), partial(SGD, lr=lr), slow=ParameterGroup("norm", lr=0.1))
        factors = [partial(schedule, total_steps=9) for schedule in (Constant(warmup_steps=3), Cosine())]
        return optimizer, Rates(optimizer, factors)

    optimizer, schedule = rates(1.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.1]
    optimizer.step()
    schedule.step()
    again, resumed = rates(8.0)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert [group["lr"] for group in again.param_groups] == [4.0, 0.1 * Cosine()(1, 9)]
