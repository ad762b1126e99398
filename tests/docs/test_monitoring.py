"""Alerts and dashboard against the catalogue of metrics, and against the page that says what to do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gateway.metrics import METRICS, Described
from tests.docs.pages import CHECKOUT, text_of
from tests.docs.test_pages import anchors

MONITORING = CHECKOUT / "examples" / "monitoring"
GUIDE = Path("docs/guides/watch.md")
CATALOGUE = {each.name: each for each in METRICS.catalogue}
SELECTED = re.compile(r"\b(mypay_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
ADDED = {"instance", "job"}  # by Prometheus
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((MONITORING / "mypay.rules.yml").read_text(encoding="utf-8"))
    return [alert for group in rules["groups"] for alert in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"])


def expressions() -> Iterator[tuple[str, str]]:
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def metric_of(exposed: str) -> Described | None:
    """The metric of an exposed series, such as that of mypay_accept_seconds_bucket."""
    return next(
        (each for each in CATALOGUE.values() for end in SUFFIXES[each.kind] if each.name + end == exposed), None
    )


def faults(expression: str) -> Iterator[str]:
    """The metrics and labels of an expression that do not exist."""
    labels = set(ADDED)
    for exposed, matchers in SELECTED.findall(expression):
        metric = metric_of(exposed)
        if metric is None:
            yield exposed
            continue
        own = {*metric.labels, *(["le"] if exposed.endswith("_bucket") else [])}
        labels |= own
        yield from (f"{exposed}{{{name}}}" for name in re.findall(r"(\w+)\s*(?:=|!=)", matchers) if name not in own)
    for names in GROUPED.findall(expression):
        yield from (name for name in re.findall(r"\w+", names) if name not in labels)


def test_a_fault_is_found() -> None:
    assert list(faults("max(mypay_nothing) > 0")) == ["mypay_nothing"]
    assert list(faults("sum(mypay_accept_seconds)")) == ["mypay_accept_seconds"], "a histogram has no such series"
    assert list(faults('sum by (verb) (mypay_payments_total{state="x"})')) == ["mypay_payments_total{state}", "verb"]
    assert list(faults("sum by (le) (rate(mypay_accept_seconds_bucket[5m]))")) == []


def test_every_expression_is_about_metrics_that_exist() -> None:
    assert [(where, list(found)) for where, it in expressions() if (found := tuple(faults(it)))] == []


def test_every_metric_is_looked_at() -> None:
    used = {
        metric.name for _, it in expressions() for exposed, _ in SELECTED.findall(it) if (metric := metric_of(exposed))
    }
    assert CATALOGUE.keys() - used == set()


def test_every_alert_leads_to_what_to_do() -> None:
    for alert in alerts():
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert Path(page) == GUIDE
        assert anchor in anchors(GUIDE), alert["alert"]
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"]["summary"]


def test_the_page_knows_no_other_alerts() -> None:
    named = re.findall(r"^### (MyPay\w+)$", text_of(GUIDE), re.MULTILINE)
    assert named == [alert["alert"] for alert in alerts()]


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_names_are_what_prometheus_wants() -> None:
    for each in METRICS.catalogue:
        assert re.fullmatch(r"mypay_[a-z_]+", each.name)
        assert each.name.endswith("_total") == (each.kind == "counter")
        assert not each.name.endswith(("_bucket", "_sum", "_count", "_created"))
        assert each.help.endswith((".", "…"))
    assert len(CATALOGUE) == len(METRICS.catalogue)
