"""`robotd contracts` as other teams call it: a process of its own, an exit code, and files."""

import json
from pathlib import Path

from daemon.contracts.catalogue import names
from tests.e2e.processes import robotd

ROOT = Path(__file__).parents[2]


def test_export_writes_the_contract_into_a_folder(tmp_path: Path) -> None:
    """Schemas, examples, page and AsyncAPI document, equal to those of the checkout; JSON says which."""
    answer = robotd("contracts", "export", "out/contracts", "--json", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    written = json.loads(answer.stdout)["written"]
    assert len(written) == 2 + 2 * len(tuple(names()))
    for name in written:
        committed = ROOT / "docs" / "contracts" / name
        assert (tmp_path / "out" / "contracts" / name).read_text(encoding="utf-8") == committed.read_text(
            encoding="utf-8"
        )


def test_export_to_where_nobody_may_write_fails_in_a_sentence(tmp_path: Path) -> None:
    """A file stands in the way: exit code 1, no traceback."""
    (tmp_path / "out").write_text("", encoding="utf-8")
    answer = robotd("contracts", "export", "out", folder=tmp_path)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "out: " in answer.stderr


def test_check_passes_today_and_names_what_would_break(tmp_path: Path) -> None:
    """0 against the last release; 1 with each line against one that promised more; 3 for what is no baseline."""
    promised = json.loads((ROOT / "docs" / "contracts" / "baseline.json").read_text(encoding="utf-8"))
    data = promised["messages"]["campaign.run"]["schema"]["properties"]["data"]["properties"]
    data["campaignId"]["type"] = ["integer", "string"]
    (tmp_path / "promised.json").write_text(json.dumps(promised), encoding="utf-8")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    today = robotd("contracts", "check", folder=tmp_path)
    broken = robotd("contracts", "check", "promised.json", "--json", folder=tmp_path)
    unusable = robotd("contracts", "check", "other.json", folder=tmp_path)
    assert (today.returncode, broken.returncode, unusable.returncode) == (0, 1, 3), unusable.stderr
    assert json.loads(broken.stdout) == {"breaking": ["campaign.run: data.campaignId: string is not taken any more"]}
