"""Messages to the scheduler of a cluster that was started here leave at once."""

from distributed import Client


def test_messages_are_collected_for_a_millisecond_instead_of_ten(client: Client) -> None:
    plain = Client(client.scheduler.address, security=client.security, set_as_default=False)
    try:
        assert plain.scheduler_comm.interval > client.scheduler_comm.interval == 0.001
    finally:
        plain.close()
