"""The template that an author begins with."""

import os
from pathlib import Path

from daemon.strict_yaml import StrictYamlError, read_strict

SCHEMA = Path("docs") / "contracts" / "status-check-template.schema.json"

_STARTER = """\
{editor}# A check by this template looks back two hours, then listens for half an hour. What stands here is an example:
# change it, then ask `robotd templates lint` and `robotd templates test` what they think of it.
name: {name}
version: 1                # raise it whenever what decides changes
description: Did the resident use the toilet?
isActive: true
pollUntilEnd: false       # true: listen on after a decision; the last one before the end counts
poller:
  pastInterval: 7200      # seconds to look back; -1 is all the past, 0 is not at all
  futureInterval: 1800    # seconds to listen; 0 is not at all
  onTimeout: FAIL         # the answer when the time is over and nothing has decided
resources:
  # Asked once, at the start. The first condition that is true decides, in the order PASS, FAIL, UNKNOWN.
  pastEvents:
    dependsOn: [TOILET_ACTIVITY]
    expressions:
      PASS: exists('TOILET_ACTIVITY')
  # Asked at each event that comes, and once more at the end. Sees the past too.
  futureEvents:
    dependsOn: [TOILET_ACTIVITY, OUTSIDE_HOME, INSIDE_HOME]
    expressions:
      PASS: exists('TOILET_ACTIVITY')
      # Nobody is at home to be asked.
      UNKNOWN: new_count('OUTSIDE_HOME') >= 1 and age('OUTSIDE_HOME') < age('INSIDE_HOME')
# At least one example for each way to an answer. Times of events count from the start of the check.
tests:
  - name: went an hour ago
    start: '08:30'
    evaluate: start       # or end, or a moment such as '+20m'
    events: ['-60m TOILET_ACTIVITY']
    expect: PASS
  - {{name: too long ago, start: '08:30', evaluate: start, events: ['-3h TOILET_ACTIVITY'], expect: PENDING}}
  - {{name: goes after the question, start: '08:30', evaluate: '+21m', events: ['+20m TOILET_ACTIVITY'], expect: PASS}}
  - {{name: leaves the house, start: '08:30', evaluate: end, events: ['+5m OUTSIDE_HOME'], expect: UNKNOWN}}
  - {{name: does not go, start: '08:30', evaluate: end, events: [], expect: FAIL}}
"""


def starter(name: str, folder: Path) -> str:
    """A whole template with comments and examples, for a file in `folder`."""
    return _STARTER.format(name=_as_text(name), editor=_editor_line(folder))


def _as_text(name: str) -> str:
    # NO and Y are names, and YAML takes them for something else.
    try:
        read_strict(f"name: {name}")
    except StrictYamlError:
        return f"'{name}'"
    return name


def _editor_line(folder: Path) -> str:
    """Editors find the schema of a source checkout from a folder inside it; from elsewhere no path would stay right."""
    root, inside = Path(__file__).parents[1], folder.resolve()
    if not inside.is_relative_to(root) or not (root / SCHEMA).is_file():
        return ""
    return f"# yaml-language-server: $schema={Path(os.path.relpath(root / SCHEMA, inside)).as_posix()}\n"
