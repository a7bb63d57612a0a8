"""Mistakes that the rules must find: each is made in a copy of good files."""

import copy
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Mutation:
    """A mistake, what makes it, and words from what must be said of it."""

    name: str
    fault: str
    make: Callable


def mutate(files, mutation):
    copied = copy.deepcopy(files)
    mutation.make(copied)
    return copied


def replace(item, key, old, new):
    """Changes a text that is there."""
    assert old in item[key], f"{item[key]} does not contain {old}"
    item[key] = item[key].replace(old, new)


def target(files, dashboard, panel):
    panels = files.dashboards[dashboard]["panels"]
    return next(one for one in panels if one["title"] == panel)["targets"][0]


def job(files, name):
    return next(one for one in files.prometheus["scrape_configs"] if one["job_name"] == name)


MUTATIONS = [
    Mutation(
        "an alert on a metric that does not exist",
        "parlance_gateway_backlog, which no program shows",
        lambda f: replace(f.alert("QueuedBytesHigh"), "expr", "queued_bytes", "backlog"),
    ),
    Mutation(
        "an alert on a counter without its ending",
        "parlance_messaging_tail_heads, which no program shows",
        lambda f: replace(f.alert("TailDelivers"), "expr", "tail_heads_total", "tail_heads"),
    ),
    Mutation(
        "a panel with a duration without its unit",
        "parlance_gateway_delivery_delay_bucket, which no program shows",
        lambda f: replace(target(f, "overview", "Delivery delay"), "expr", "delay_seconds", "delay"),
    ),
    Mutation(
        "a panel with the buckets of a gauge",
        "parlance_gateway_sockets_bucket, which no program shows",
        lambda f: replace(target(f, "gateway", "Sockets"), "expr", "sockets", "sockets_bucket"),
    ),
    Mutation(
        "an alert that groups by a label that does not exist",
        "the label route, which no metric has",
        lambda f: replace(f.alert("ServerErrors"), "expr", "by (http_route)", "by (route)"),
    ),
    Mutation(
        "an alert that selects by a label that does not exist",
        "the label pool_state, which no metric has",
        lambda f: replace(f.alert("PoolExhausted"), "expr", "db_client_connection_state", "pool_state"),
    ),
    Mutation(
        "a summary with a label that does not exist",
        "the label part, which no metric has",
        lambda f: replace(f.alert("PartDown")["annotations"], "summary", "job", "part"),
    ),
    Mutation(
        "a legend with a label that does not exist",
        "the label method, which no metric has",
        lambda f: replace(target(f, "auth", "Calls"), "legendFormat", "rpc_method", "method"),
    ),
    Mutation(
        "a part that is not scraped",
        "which are not the parts",
        lambda f: f.prometheus["scrape_configs"].remove(job(f, "rooms")),
    ),
    Mutation(
        "a part that is scraped at the port of gRPC",
        "does not scrape the admin port",
        lambda f: job(f, "auth")["dns_sd_configs"][0].update(port=9000),
    ),
    Mutation(
        "an alert on a part that does not exist",
        "which is no part",
        lambda f: replace(f.alert("GatewayDetached"), "expr", "messaging", "messages"),
    ),
    Mutation(
        "an alert without severity",
        "lacks a severity",
        lambda f: f.alert("CommitsSlow")["labels"].pop("severity"),
    ),
    Mutation(
        "an alert whose runbook is about another one",
        "leads to no section",
        lambda f: replace(f.alert("SlowClients")["annotations"], "runbook", "slowclients", "deliveryslow"),
    ),
    Mutation(
        "an alert whose section is not there",
        "leads to no section",
        lambda f: f.runbooks.remove("RedisSilent"),
    ),
    Mutation(
        "a section about an alert that was removed",
        "is about no alert",
        lambda f: f.alerts.remove(f.alert("TasksGrow")),
    ),
    Mutation(
        "an alert of which nobody has seen that it stays away",
        "is not tested",
        lambda f: f.tests.remove({"alertname": "ReplicaDown", "eval_time": "2m", "exp_alerts": []}),
    ),
    Mutation(
        "a dashboard that was edited by hand",
        "are not what",
        lambda f: replace(f.dashboards["rooms"], "title", "rooms", "my rooms"),
    ),
    Mutation(
        "a part without a dashboard",
        "not a dashboard for each part",
        lambda f: f.dashboards.pop("contacts"),
    ),
]
