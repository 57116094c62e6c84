"""Metrics, alerts and dashboard on paper: made from the list, linked to runbooks that exist, proven by promtool."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.metric_names import METRICS, Kind, page
from daemon.metrics import Metrics
from daemon.metrics_report import dashboard, with_table

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "docs" / "prometheus"
PROMTOOL = shutil.which("promtool", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
ID_LIKE = re.compile("(^|_)(id|ids|number|phone|session|robot|server|campaign|message|user|url)($|_)")


def operations() -> str:
    return (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.rules.yaml").read_text())["groups"][0]["rules"]
    return found


def test_the_table_of_metrics_is_that_of_the_list() -> None:
    """`make docs` would change nothing: each metric of the registry has its row."""
    assert page() in operations()
    assert with_table(operations()) == operations()


def test_the_dashboard_is_that_of_the_list() -> None:
    """`make docs` would change nothing, and each panel asks for something."""
    text = (PROMETHEUS / "dashboard.json").read_text(encoding="utf-8")
    assert text == dashboard()
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    assert all(target["expr"] for panel in panels for target in panel["targets"])


def test_the_registry_holds_what_the_list_says() -> None:
    """Counters and histograms under their names, no `_created` series, no label that sounds like an id."""
    described = {metric.name: metric for metric in Metrics().registry.collect()}
    for metric in METRICS:
        if metric.kind in (Kind.COUNTER, Kind.HISTOGRAM):
            assert metric.full_name.removesuffix("_total") in described
        assert not any(ID_LIKE.search(label) for label in metric.labels)
    assert not any(sample.name.endswith("_created") for family in described.values() for sample in family.samples)


def test_every_alert_has_a_runbook_that_exists() -> None:
    """The link of each alert is a heading of operations.md by its own name, and each such heading has an alert."""
    headings = {f"#{title.lower()}" for title in re.findall(r"^### (Robotd\w+)$", operations(), flags=re.MULTILINE)}
    links = [rule["annotations"]["runbook_url"] for rule in rules()]
    assert links == [f"docs/operations.md#{rule['alert'].lower()}" for rule in rules()]
    assert {link.removeprefix("docs/operations.md") for link in links} == headings


def test_every_alert_is_tested_silent_and_firing() -> None:
    """alerts.test.yaml has for each alert a moment without it and a moment with it."""
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for rule in rules():
        of_it = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
        assert of_it == [False, True], rule["alert"]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: `make system` fetches it")
def test_promtool_finds_each_alert_right(tmp_path: Path) -> None:
    """Rules are well formed and pass their tests; rules whose thresholds are out of reach do not."""
    assert promtool("check", "rules", str(PROMETHEUS / "alerts.rules.yaml")).returncode == 0
    told = promtool("test", "rules", str(PROMETHEUS / "alerts.test.yaml"))
    assert told.returncode == 0, told.stdout + told.stderr
    text = (PROMETHEUS / "alerts.rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "alerts.rules.yaml").write_text(re.sub(r"> (\d[\d.]*)$", "> 1e12", text, flags=re.MULTILINE))
    shutil.copy(PROMETHEUS / "alerts.test.yaml", tmp_path)
    assert promtool("test", "rules", str(tmp_path / "alerts.test.yaml")).returncode == 1


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603  our own files
