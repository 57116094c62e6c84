"""The metrics for people: the table in docs/operations.md, and a dashboard for Grafana, both made from the list.

`python -m daemon.metrics_report docs` writes both; a test fails when one is stale.
"""

import json
import sys
from pathlib import Path

from daemon.metric_names import page
from domain.wire import JsonObject

BEGIN, END = "<!-- metrics: written by `make docs` -->\n", "<!-- end of metrics -->\n"
_WIDTH, _HEIGHT, _ACROSS = 8, 7, 3
# Replicas read the same database and queues: what is sampled is taken once, what each process counts is summed.
_CALLS = 'robotd_sqs_request_seconds_bucket{op!="receive_message"}'
PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Ready replicas", "short", (("sum(robotd_ready)", "ready"), ("count(robotd_build_info)", "scraped"))),
    ("Dead letters", "short", (('max by (queue) (robotd_queue_messages{queue=~".+-dlq"})', "{{queue}}"),)),
    ("Dependencies", "short", (("min by (name) (robotd_dependency_up)", "{{name}}"),)),
    (
        "Messages per second by outcome",
        "ops",
        (("sum by (outcome) (rate(robotd_messages_processed_total[5m]))", "{{outcome}}"),),
    ),
    (
        "Taken up per second",
        "ops",
        (("sum by (queue) (rate(robotd_messages_received_total[5m]))", "{{queue}}"),),
    ),
    ("In queues", "short", (("max by (queue, state) (robotd_queue_messages)", "{{queue}} {{state}}"),)),
    (
        "Time in the queue, 95 %",
        "s",
        (("histogram_quantile(0.95, sum by (queue, le) (rate(robotd_queue_time_seconds_bucket[5m])))", "{{queue}}"),),
    ),
    (
        "Time of handling, 95 %",
        "s",
        (("histogram_quantile(0.95, sum by (type, le) (rate(robotd_process_seconds_bucket[5m])))", "{{type}}"),),
    ),
    (
        "Calls of SQS but polls, 95 %",
        "s",
        (
            (
                f"histogram_quantile(0.95, sum by (op, le) (rate({_CALLS}[5m])))",
                "{{op}}",
            ),
        ),
    ),
    (
        "In flight, of so many",
        "short",
        (
            ("sum by (queue) (robotd_in_flight)", "{{queue}}"),
            ("sum by (queue) (robotd_concurrency_limit)", "{{queue}} limit"),
            ("sum by (queue) (robotd_paused)", "{{queue}} paused"),
        ),
    ),
    (
        "Since the last poll came back",
        "s",
        (("time() - min by (queue) (robotd_last_receive_success_timestamp_seconds)", "{{queue}}"),),
    ),
    (
        "Extended and lost",
        "ops",
        (
            ("sum by (queue) (rate(robotd_visibility_extensions_total[5m]))", "{{queue}} extended"),
            ("sum by (queue) (rate(robotd_lease_lost_total[5m]))", "{{queue}} lost"),
        ),
    ),
    (
        "Results",
        "ops",
        (
            ("sum by (type, outcome) (rate(robotd_messages_sent_total[5m]))", "{{type}} {{outcome}}"),
            ("max(robotd_outbox_pending)", "in the outbox"),
        ),
    ),
    (
        "Oldest",
        "s",
        (("max(robotd_outbox_oldest_seconds)", "result"), ("max(robotd_timers_oldest_seconds)", "timer")),
    ),
    (
        "Timers and leases",
        "short",
        (
            ("max(robotd_timers_due)", "due"),
            ("max(robotd_timers_late)", "late"),
            ("max by (of) (robotd_leases_expired)", "expired {{of}}"),
        ),
    ),
    (
        "Event loop lag, 99 %",
        "s",
        (
            (
                "histogram_quantile(0.99, sum by (instance, le) (rate(robotd_loop_lag_seconds_bucket[5m])))",
                "{{instance}}",
            ),
        ),
    ),
    ("Rejected", "ops", (("sum by (kind) (rate(robotd_dead_letters_total[5m]))", "{{kind}}"),)),
    ("Memory", "bytes", (("process_resident_memory_bytes", "{{instance}}"),)),
    (
        "Campaigns",
        "short",
        (
            ("max by (status) (robotd_campaigns)", "{{status}}"),
            ("max by (reason) (robotd_campaigns_paused)", "paused {{reason}}"),
            ("max by (reason) (robotd_numbers_stopped)", "stopped {{reason}}"),
        ),
    ),
    (
        "Recipients",
        "ops",
        (
            ("sum by (outcome) (rate(robotd_campaign_messages_total[5m]))", "{{outcome}}"),
            ("max(robotd_unknown_sends)", "unknown"),
        ),
    ),
    (
        "Delivery servers",
        "short",
        (
            ("sum by (verdict) (increase(robotd_server_tests_total[1h]))", "{{verdict}} in an hour"),
            ("sum(increase(robotd_servers_deactivated_total[1h]))", "switched off in an hour"),
            ("max by (phase) (robotd_server_tests_open)", "{{phase}}"),
        ),
    ),
    (
        "Cycles of server tests",
        "s",
        (
            ("max(robotd_server_cycle_seconds)", "the last one took"),
            ("time() - max(robotd_server_cycle_last_end_timestamp_seconds)", "it was over ago"),
        ),
    ),
)


def dashboard() -> str:
    """The dashboard, as Grafana imports it: it asks for the Prometheus to read from."""
    source = {"type": "prometheus", "uid": "${source}"}
    content: JsonObject = {
        "title": "robotd",
        "uid": "robotd",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": [_panel(place, source) for place in range(len(PANELS))],
    }
    return json.dumps(content, indent=1) + "\n"


def _panel(place: int, source: JsonObject) -> JsonObject:
    title, unit, lines = PANELS[place]
    return {
        "id": place + 1,
        "title": title,
        "type": "timeseries",
        "datasource": source,
        "gridPos": {
            "x": place % _ACROSS * _WIDTH,
            "y": place // _ACROSS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expr, "legendFormat": legend}
            for number, (expr, legend) in enumerate(lines)
        ],
    }


def with_table(operations: str) -> str:
    """The page with the table of now in its place."""
    before, _, rest = operations.partition(BEGIN)
    return f"{before}{BEGIN}\n{page()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    docs = Path(sys.argv[1])
    operations = docs / "operations.md"
    operations.write_text(with_table(operations.read_text(encoding="utf-8")), encoding="utf-8")
    (docs / "prometheus" / "dashboard.json").write_text(dashboard(), encoding="utf-8")
