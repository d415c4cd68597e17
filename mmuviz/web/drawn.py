"""The charts of a scenario, each with its figure."""

from mmuviz.components.charts import Chart
from mmuviz.components.ids import Id
from mmuviz.web.shipped import Scenario


def charts_of(scenario: Scenario) -> list[Chart]:
    seconds = sum(scenario.timeline.seconds_by_op())
    figure = {"data": [{"x": [0, seconds], "y": [0, 1]}], "layout": {"xaxis": {"range": [0, seconds]}}}
    return [Chart(each, each.value, figure) for each in (Id.CHART_LEFT, Id.CHART_RIGHT, Id.CHART_BOTH)]
