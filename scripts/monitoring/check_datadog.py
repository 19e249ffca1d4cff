#!/usr/bin/env python3
"""Checks what Datadog would be given, without Datadog.

usage: check_datadog.py catalog SCHEMA_DIR     service.datadog.yaml against the published JSON Schema
       check_datadog.py state STATE.json        dashboard, monitors and objectives against Datadog's own typed client
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def catalog(schema_dir):
    import jsonschema
    import yaml
    from referencing import Registry, Resource

    folder = pathlib.Path(schema_dir) / "v3"
    schemas = [json.loads(path.read_text()) for path in folder.glob("*.schema.json")]
    registry = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in schemas])
    entity = yaml.safe_load((ROOT / "service.datadog.yaml").read_text())
    schema = json.loads((folder / "service.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema, registry=registry)
    wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(entity)]
    # A validator that accepts anything proves nothing.
    refused = [dict(entity, spec={"tier": 2}), dict(entity, owner="x"), {"apiVersion": "v3", "kind": "service"}]
    wrong += [f"the schema accepts {bad}" for bad in refused if validator.is_valid(bad)]
    return wrong, f"service.datadog.yaml is valid, {len(refused)} broken ones are refused"


def state(path):
    from datadog_api_client.v1.model.dashboard import Dashboard
    from datadog_api_client.v1.model.monitor import Monitor
    from datadog_api_client.v1.model.service_level_objective_request import ServiceLevelObjectiveRequest

    resources = json.loads(pathlib.Path(path).read_text())["values"]["root_module"]["resources"]
    bodies = []
    for resource in resources:
        values, address = resource["values"], resource["address"]
        if resource["type"] == "datadog_dashboard_json":
            bodies.append((address, Dashboard, json.loads(values["dashboard"])))
        elif resource["type"] == "datadog_monitor":
            bodies.append((address, Monitor, monitor(values)))
        elif resource["type"] == "datadog_service_level_objective":
            bodies.append((address, ServiceLevelObjectiveRequest, objective(values)))
    wrong = [text for address, model, body in bodies if (text := refusal(address, model, body))]
    dashboards = [body for _, model, body in bodies if model is Dashboard]
    wrong += dangling(dashboards[0]) if dashboards else ["there is no dashboard"]
    mutants = list(broken(dashboards[0])) if dashboards else []
    wrong += [f"the client accepts a dashboard with {what}" for what, bad in mutants if not refusal("", Dashboard, bad)]
    return wrong, f"{len(bodies)} bodies pass Datadog's typed client, {len(mutants)} broken dashboards are refused"


def monitor(values):
    thresholds = {k: float(v) for k, v in values["monitor_thresholds"][0].items() if v is not None}
    options = {k: values[k] for k in ["on_missing_data", "require_full_window", "include_tags", "renotify_interval"] if values.get(k) is not None}
    body = {k: values[k] for k in ["name", "type", "query", "message", "tags"]}
    return dict(body, priority=int(values["priority"]), options=dict(options, thresholds=thresholds))


def objective(values):
    body = {k: values[k] for k in ["name", "type", "description", "tags"]}
    body["thresholds"] = [{k: t[k] for k in ["target", "timeframe"]} for t in values["thresholds"]]
    if values["query"]:
        body["query"] = {k: values["query"][0][k] for k in ["numerator", "denominator"]}
    if values["sli_specification"]:
        part = values["sli_specification"][0]["time_slice"][0]
        query = part["query"][0]
        metric = query["query"][0]["metric_query"][0]
        body["sli_specification"] = {"time_slice": {
            "comparator": part["comparator"], "threshold": part["threshold"], "query_interval_seconds": part["query_interval_seconds"],
            "query": {"formulas": [{"formula": f["formula_expression"]} for f in query["formula"]],
                      "queries": [{"data_source": "metrics", "name": metric["name"], "query": metric["query"]}]}}}
    return body


def refusal(address, model, body):
    from datadog_api_client.configuration import Configuration
    from datadog_api_client.model_utils import validate_and_convert_types

    try:
        made = validate_and_convert_types(body, (model,), ["body"], True, True, Configuration())
    except Exception as error:  # The client raises half a dozen unrelated types.
        return f"{address}: {error}"
    return f"{address}: {unknown}" if (unknown := unparsed(made, address)) else None


def unparsed(value, where):
    """The client keeps what it does not know instead of refusing it; the first such place."""
    from datadog_api_client.model_utils import ModelComposed, ModelNormal, UnparsedObject

    if isinstance(value, UnparsedObject) or getattr(value, "_unparsed", False) is True:
        return f"{where} is nothing that Datadog knows"
    if isinstance(value, ModelComposed):
        inner = value._composed_instances
        return next((found for part in inner if (found := unparsed(part, where))), None)
    if isinstance(value, ModelNormal):
        extra = set(value._data_store) - set(value.attribute_map)
        if extra:
            return f"{where} has unknown fields {sorted(extra)}"
        value = value._data_store
    if isinstance(value, dict):
        return next((found for k, v in value.items() if (found := unparsed(v, f"{where}.{k}"))), None)
    if isinstance(value, list):
        return next((found for i, v in enumerate(value) if (found := unparsed(v, f"{where}[{i}]"))), None)
    return None


def panels(dashboard):
    for group in dashboard["widgets"]:
        for widget in group["definition"]["widgets"]:
            for request in widget["definition"].get("requests", []):
                yield widget["definition"]["title"], request


def dangling(dashboard):
    """Formulas name queries; Datadog shows an empty panel where one does not exist."""
    import re

    wrong = []
    for title, request in panels(dashboard):
        names = {query["name"] for query in request["queries"]}
        used = set(re.findall(r"\b[a-z][a-z0-9_]*\b(?!\()", " ".join(f["formula"] for f in request["formulas"])))
        if names != used:
            wrong.append(f"panel {title!r}: queries {sorted(names)}, formulas use {sorted(used)}")
    return wrong


def broken(dashboard):
    def change(edit):
        copy = json.loads(json.dumps(dashboard))
        edit(copy, copy["widgets"][0]["definition"]["widgets"][0]["definition"])
        return copy

    yield "an unknown layout", change(lambda board, panel: board.update(layout_type="loose"))
    yield "an unknown display type", change(lambda board, panel: panel["requests"][0].update(display_type="scribble"))
    yield "no title", change(lambda board, panel: board.pop("title"))
    yield "an unknown data source", change(lambda board, panel: panel["requests"][0]["queries"][0].update(data_source="guesses"))
    yield "an unknown field", change(lambda board, panel: panel.update(colour="blue"))


def main():
    commands = {"catalog": (catalog, 1), "state": (state, 1)}
    name, arguments = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if name not in commands or len(arguments) != commands[name][1]:
        sys.exit(__doc__.strip())
    wrong, done = commands[name][0](*arguments)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(done)


if __name__ == "__main__":
    main()
