from __future__ import annotations

from pathlib import Path

import pytest

from hoiclip.errors import InputError
from stream.rules.language import KnownNames, load_rules

KNOWN = KnownNames(
    cameras=frozenset({"gate"}), zones=frozenset({"door"}), lines=frozenset({"exit"}),
    interactions=frozenset({"hold phone"}), verbs=frozenset({"hold"}), objects=frozenset({"phone"}),
)  # fmt: skip
HEAD = "rules:\n  - name: a\n"
LASTS = HEAD + "    lasts: {what: {verb: hold}, for_s: 5}\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []\n", "rules.yaml:1: `rules`"),
        (HEAD, "rules.yaml:2: `rules.0`: expected exactly one of lasts, sequence, absence, count, got none"),
        (HEAD + "    lasts: {what: {verb: hold}}\n", "rules.yaml:3: `rules.0.lasts.for_s`"),
        (HEAD + "    lasts: {what: {}, for_s: 5}\n", "says nothing: give interaction, verb, object, zone or line"),
        (HEAD + "    lasts: {what: {vreb: hold}, for_s: 5}\n", "did you mean `verb`?"),
        (HEAD + "    lasts: {what: {line: exit}, for_s: 5}\n", "only what goes on can last"),
        (LASTS + "    schedule: {from: 22:00}\n", 'a time in quotes such as "06:30"'),
        ("timezone: Mars/Olympus\n" + LASTS, "rules.yaml:1: `timezone`: no such time zone"),
        (HEAD + "    sequence: {steps: [{verb: hold}], within_s: 5}\n", "rules.yaml:3: `rules.0.sequence.steps`"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_rules(write(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("{verb: hold, zone: [door, dor]}", "rules.yaml:7: rule 'b': no zone 'dor'; there are: door"),
        ("{line: exti}", "no line 'exti'; there are: exit"),
        ("{verb: hold, camera: gait}", "no camera 'gait'"),
        ("{interaction: hold fone}", "no interaction 'hold fone'"),
        ("{object: fone}", "no object 'fone'"),
    ],
)
def test_names_that_the_deployment_does_not_have_are_refused_with_their_line(
    tmp_path: Path, condition: str, message: str
) -> None:
    text = f"""rules:
  - name: a
    lasts: {{what: {{verb: hold, zone: door, camera: gate}}, for_s: 5}}
  - name: b
    absence:
      after: {{object: phone}}
      missing: {condition}
      within_s: 5
"""
    path = write(tmp_path, text)
    assert len(load_rules(path).rules) == 2
    with pytest.raises(InputError, match=r"rules\.yaml:7: ") as caught:
        load_rules(path, KNOWN)
    assert message in str(caught.value)


def test_equal_rules_have_equal_fingerprints_however_they_are_written(tmp_path: Path) -> None:
    short = load_rules(write(tmp_path, HEAD + "    lasts: {what: {verb: hold}, for_s: 5}\n"))
    long = load_rules(
        write(tmp_path, HEAD + "    severity: warning\n    lasts:\n      for_s: 5.0\n      what: {verb: [hold]}\n")
    )
    other = load_rules(write(tmp_path, HEAD + "    lasts: {what: {verb: hold}, for_s: 6}\n"))
    assert short.fingerprint == long.fingerprint != other.fingerprint
