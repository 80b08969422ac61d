"""Run by the environment of honeyhive 1.7.0: goes through the nouns by its real classes, and prints what came back."""
# mypy: ignore-errors

from __future__ import annotations

import json
import os

from honeyhive import HoneyHive
from honeyhive._generated import models as m


def drive_datasets(client: HoneyHive) -> dict[str, object]:
    """Datasets and datapoints."""
    dataset_id = client.datasets.create(m.CreateDatasetRequest(name="cases")).result.insertedId
    added = client.datasets.add_datapoints(
        dataset_id,
        m.AddDatapointsToDatasetRequest(
            data=[{"q": 1, "a": 2, "x": 3}, {"q": 2, "a": 4}],
            mapping=m.DatapointMapping(inputs=["q"], ground_truth=["a"]),
        ),
    ).datapoint_ids
    request = m.CreateDatapointRequest(inputs={"q": 3}, ground_truth={"a": 6}, linked_datasets=[dataset_id])
    (datapoint_id,) = client.datapoints.create(request).result.insertedIds
    client.datapoints.update(datapoint_id, m.UpdateDatapointRequest(metadata={"k": "v"}))
    (datapoint,) = client.datapoints.get(datapoint_id).datapoint
    (dataset,) = client.datasets.list(dataset_id=dataset_id).datasets
    client.datasets.update(m.LegacyUpdateDatasetRequest(dataset_id=dataset_id, name="renamed"))
    late = m.CreateDatapointRequest(inputs={"q": 4}, linked_datasets=[dataset_id])
    (late_id,) = client.datapoints.create(late).result.insertedIds
    without = client.datapoints.get(late_id).datapoint[0].ground_truth
    client.datapoints.update(late_id, m.UpdateDatapointRequest(ground_truth={"a": 8}))
    (of_dataset,) = [
        one for one in client.datapoints.list(dataset_name="renamed").datapoints if one.id == late_id
    ]
    client.datapoints.delete(late_id)
    return {
        "late_truth": [
            without,
            client.datapoints.get(datapoint_id).datapoint[0].ground_truth,
            of_dataset.ground_truth,
        ],
        "datapoint": [datapoint.inputs, datapoint.ground_truth, datapoint.metadata],
        "by_ids": len(client.datapoints.list(datapoint_ids=[*added, datapoint_id]).datapoints),
        "by_dataset": len(client.datapoints.list(dataset_name="renamed").datapoints),
        "is_in_order": dataset.datapoints == [*added, datapoint_id],
        "by_name": [one.id == dataset_id for one in client.datasets.list(name="renamed").datasets],
        "is_removed": client.datasets.remove_datapoint(dataset_id, datapoint_id).dereferenced,
        "is_datapoint_deleted": client.datapoints.delete(datapoint_id).deleted,
        "is_deleted": client.datasets.delete(dataset_id).result.id == dataset_id,
        "left": len(client.datasets.list().datasets),
    }


def drive_configurations(client: HoneyHive) -> dict[str, object]:
    """Configurations."""
    request = m.CreateConfigurationRequest(
        name="prompt",
        provider="openai",
        parameters=m.ConfigurationParameters(
            call_type="chat", model="small", template=[m.TemplateItem(role="system", content="Hi")]
        ),
        env=["dev"],
        tags=["t"],
    )
    configuration_id = client.configurations.create(request).insertedId
    updated = client.configurations.update(
        configuration_id, m.UpdateConfigurationRequest(name="prompt 2", tags=["u"])
    )
    (found,) = client.configurations.list()
    return {
        "updated": [updated.acknowledged, updated.modifiedCount, updated.matchedCount],
        "found": [found.id == configuration_id, found.name, found.type, found.env, found.tags],
        "template": [[item.role, item.content] for item in found.parameters.template],
        "deleted_count": client.configurations.delete(configuration_id).deletedCount,
    }


def drive_metrics(client: HoneyHive) -> dict[str, object]:
    """Metrics and their versions."""
    request = m.CreateMetricRequest(
        name="accuracy",
        type="PYTHON",
        criteria="def f(event): return 1",
        filters=m.CreateMetricRequestFilters(
            filterArray=[m.SingleFilter(field="event_type", operator="is", value="model", type="string")]
        ),
    )
    metric_id = client.metrics.create(request).metric_id
    client.metrics.update(m.LegacyUpdateMetricRequest(id=metric_id, description="new"))
    (metric,) = client.metrics.get_metric(metric_id)
    seen = {
        "metric": [metric.name, metric.description, metric.sampling_percentage],
        "filter": [[one.field, one.operator, one.value] for one in metric.filters.filterArray],
    }
    if hasattr(client, "metric_versions"):
        seen |= drive_versions(client, metric_id)
    return {**seen, "is_deleted": client.metrics.delete(metric_id).deleted}


def drive_versions(client: HoneyHive, metric_id: str) -> dict[str, object]:
    """Versions of a metric, in the releases that have them."""
    content = m.MetricVersionContentRequest(name="accuracy", type="PYTHON", criteria="def f(event): return 2")
    version = client.metric_versions.create(
        metric_id, m.CreateMetricVersionRequest(message="twice", content=content)
    ).data
    deployed = client.metric_versions.deploy(metric_id, version.name).data
    (after,) = client.metrics.list(type="PYTHON")
    return {
        "version": [version.name, version.deployed, deployed.deployed],
        "versions": [
            [one.name, one.deployed, one.message] for one in client.metric_versions.list(metric_id).data
        ],
        "criteria": after.criteria,
    }


def drive_charts(client: HoneyHive, **where: str) -> dict[str, object]:
    """Charts, of the project that is named or of the key's."""
    request = m.CreateChartRequest(
        name="cost",
        metric="cost",
        bucketing="hour",
        dateRange=m.AbsoluteDateRange(**{"$gte": 1, "$lte": 2.5}),
        query=[m.QueryFilter(field="event_type", value="model", type="string", operator="is")],
    )
    chart_id = client.charts.create(request, **where).data.id
    client.charts.update(chart_id, m.UpdateChartRequest(name="cost per hour"), **where)
    found = client.charts.get(chart_id, **where).data
    return {
        "found": [found.name, found.bucketing, found.dateRange, len(found.query)],
        "count": len(client.charts.list(**where).data),
        "is_deleted": client.charts.delete(chart_id, **where).success,
    }


def main() -> None:
    """Go through what this version has."""
    keys = {"data_plane_api_key": os.environ["HH_DATA_PLANE_API_KEY"]} if hasattr(m, "MetricVersion") else {}
    client = HoneyHive(api_key=os.environ["HH_API_KEY"], server_url=os.environ["HH_API_URL"], **keys)
    seen = {
        "datasets": drive_datasets(client),
        "configurations": drive_configurations(client),
        "metrics": drive_metrics(client),
    }
    if hasattr(client, "charts"):
        seen["charts"] = drive_charts(client)
        seen["project_charts"] = drive_charts(client, project_id=os.environ["HH_PROJECT_ID"])
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
