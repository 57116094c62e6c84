"""Labels stay few whatever senders write; durations and counts are what was observed."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from daemon.destinations import OTHER, template_of
from daemon.metric_names import DEACTIVATED, SERVER_TESTS
from daemon.metrics import Metrics


def text_of(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


@given(st.integers(min_value=1, max_value=2**31), st.sampled_from(["robot-queue-", "https://sqs.test/123456789012/r-"]))
def test_every_queue_of_a_robot_is_one_label(robot_id: int, prefix: str) -> None:
    """The template names neither the robot nor the account; a reply queue has its name, any other queue none."""
    label = template_of(prefix, frozenset({"answers"}), f"{prefix}{robot_id}")
    assert label == f"{prefix.rsplit('/', 1)[-1]}{{robotId}}"
    assert template_of(prefix, frozenset({"answers"}), "answers") == "answers"
    assert template_of(prefix, frozenset({"answers"}), f"other-{robot_id}") == OTHER


def test_what_is_observed_is_what_is_told() -> None:
    """A message: one count and one duration; a batch: its number and the wait of its oldest, never below zero."""
    metrics = Metrics()
    metrics.processed("q", "t", "done", 0.2)
    metrics.processed("q", "t", "retried", 0.4)
    metrics.received("q", 10, -3.0)
    metrics.received("q", 5, None)
    metrics.tallied(SERVER_TESTS, "FAILED")
    metrics.tallied(DEACTIVATED, None)
    text = text_of(metrics)
    assert 'robotd_messages_processed_total{outcome="done",queue="q",type="t"} 1.0' in text
    assert 'robotd_process_seconds_count{queue="q",type="t"} 2.0' in text
    assert 'robotd_messages_received_total{queue="q"} 15.0' in text
    assert 'robotd_queue_time_seconds_count{queue="q"} 1.0' in text
    assert 'robotd_queue_time_seconds_sum{queue="q"} 0.0' in text
    assert 'robotd_server_tests_total{verdict="FAILED"} 1.0' in text
    assert "robotd_servers_deactivated_total 1.0" in text
