"""The alerts and the dashboard: what they name exists, and Prometheus accepts them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.exposition import kinds

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMTOOL = shutil.which("promtool")

OF_EVERY_TARGET = {"job", "instance"}
_METRIC = re.compile(r'(?<![\w"])((?:gpu|http)_[a-z_]+)(?:\{([^}]*)\})?')
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
_PARTS: dict[str, set[str]] = {"bucket": {"le"}, "count": set(), "sum": set()}
"""Part of a histogram -> the labels that it has besides."""

Node = dict[str, Any]


def read_yaml(name: str) -> Any:
    """One of the files for Prometheus."""
    return yaml.safe_load((DEPLOY / "prometheus" / name).read_text(encoding="utf-8"))


def rules() -> list[Node]:
    """Every alert."""
    return [rule for group in read_yaml("alerts.yml")["groups"] for rule in group["rules"]]


def dashboard() -> Node:
    """The dashboard."""
    text = (DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def panels() -> list[Node]:
    """What shows something: rows are headings only."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Every query of the alerts, of their tests and of the dashboard."""
    yield from (rule["expr"] for rule in rules())
    for test in read_yaml("alerts_test.yml")["tests"]:
        yield from (series["series"] for series in test["input_series"])
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard()["templating"]["list"]:
        yield from [variable["definition"]] if variable["type"] == "query" else ()


def labels_of(sample: str) -> frozenset[str] | None:
    """The labels of what stands in a query; None where there is no such metric."""
    base, _, part = sample.rpartition("_")
    kind, labels = kinds().get(base, ("", frozenset()))
    if kind == "histogram" and part in _PARTS:
        return labels | _PARTS[part]
    kind, labels = kinds().get(sample, ("histogram", frozenset()))
    return None if kind == "histogram" else labels


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_metric_and_label_that_is_named_exists(expression: str) -> None:
    """A typing error would be an alert that never fires, and an empty panel."""
    at_hand = set(OF_EVERY_TARGET)
    for metric, matchers in _METRIC.findall(expression):
        labels = labels_of(metric)
        assert labels is not None, f"there is no metric {metric}"
        assert set(_MATCHER.findall(matchers)) <= labels | OF_EVERY_TARGET, metric
        at_hand |= labels
    for grouping in _GROUPING.findall(expression):
        assert {name.strip() for name in grouping.split(",")} <= at_hand


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_it_means_and_what_to_do(rule: Node) -> None:
    """With labels that it has, and without a link that nobody tends."""
    words = rule["annotations"]
    text = f"{words['summary']} {words['description']}"
    grouped = [set(re.split(r"\W+", names)) for names in _GROUPING.findall(rule["expr"])]
    metrics = [labels_of(metric) or set() for metric, _ in _METRIC.findall(rule["expr"])]
    has = (grouped[0] if grouped else set().union(*metrics)) | OF_EVERY_TARGET

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert len(words["summary"]) < 80 < len(words["description"])
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= has
    assert "://" not in text


def test_every_alert_is_tested() -> None:
    """Each of them fires in one of the tests."""
    fired = {
        name
        for test in read_yaml("alerts_test.yml")["tests"]
        for expected in test["promql_expr_test"]
        for sample in expected["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }

    assert fired == {rule["alert"] for rule in rules()}


def test_the_alerts_look_for_the_job_of_the_example() -> None:
    """Both names are one."""
    (job,) = (one["job_name"] for one in read_yaml("prometheus.yml")["scrape_configs"])
    asked = set(re.findall(r'job="([^"]+)"', " ".join(rule["expr"] for rule in rules())))

    assert asked == {job}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_a_panel_has_a_unit_a_description_and_the_chosen_data_source(panel: Node) -> None:
    """Figures without a unit are read wrongly."""
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    references = [target["refId"] for target in panel["targets"]]

    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    assert {source["uid"] for source in sources} == {"${datasource}"}
    assert len(set(references)) == len(references) > 0


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """It brings no id of another Grafana, and asks for what it needs."""
    board = dashboard()
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(?!__)(\w+)", json.dumps(board["panels"])))
    ids = [panel["id"] for panel in board["panels"]]

    assert (board["id"], board["title"]) == (None, "gpu-broker")
    assert variables["datasource"]["type"] == "datasource"
    assert used == set(variables)
    assert len(set(ids)) == len(ids)


def test_no_panel_lies_upon_another() -> None:
    """Within the 24 columns of a dashboard."""
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    overlapping = [
        (a, b)
        for a, b in combinations(places, 2)
        if a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
        if a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    ]

    assert overlapping == []
    assert all(0 <= place["x"] and place["x"] + place["w"] <= 24 for place in places)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_accepts_its_files(command: tuple[str, ...]) -> None:
    """Its own tool reads them, and the alerts fire as their tests say."""
    done = subprocess.run(  # noqa: S603 - the tool that was found
        [PROMTOOL or "", *command],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
