"""The dashboards. Run, this writes their JSON; scripts/check-observability fails when that is not what is committed."""

import json
from pathlib import Path

from panels import dashboard, graph, stat, table

FOLDER = Path("deploy/observability/grafana/dashboards")
PARTS = "gateway|auth|contacts|rooms|messaging"
# Unknown, DeadlineExceeded, Internal, Unavailable, DataLoss.
RPC_ERRORS = 'rpc_response_status_code=~"2|4|13|14|15"'
HTTP = "http_server_request_duration_seconds"
HTTP_ERRORS = 'http_response_status_code=~"5.."'


def rate(metric, selector="", by=""):
    """How often a second, summed up."""
    summed = f"sum by ({by})" if by else "sum"
    return f"{summed} (rate({metric}{selector and '{' + selector + '}'}[$__rate_interval]))"


def quantile(part, metric, selector="", by=""):
    """The value that this part of all is below."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({part}, {rate(metric + '_bucket', selector, labels)})"


def quantiles(metric, selector=""):
    return [(quantile(part, metric, selector), name) for part, name in [(0.5, "median"), (0.99, "99 %")]]


def mean(metric):
    return f"{rate(metric + '_sum')} / {rate(metric + '_count')}"


def processes(jobs):
    """What every process shows."""
    of, name = f'{{job=~"{jobs}"}}', "{{job}} {{instance}}"
    return [
        graph(
            "Processor time",
            "percentunit",
            (f"rate(process_cpu_seconds_total{of}[$__rate_interval])", name),
            description="1 is a whole core.",
        ),
        graph("Memory", "bytes", (f"process_resident_memory_bytes{of}", name)),
        graph("Descriptors", "none", (f"process_open_fds{of}", name), description="Open files and sockets."),
        graph(
            "Tasks",
            "none",
            (f"parlance_process_tasks{of}", name),
            description="What has not ended; grows when something leaks.",
        ),
    ]


def calls(kind, job, title):
    """Calls by method, on the side of the `server` or of the `client`."""
    metric, of = f"rpc_{kind}_call_duration_seconds", f'job="{job}"'
    return [
        graph(title, "reqps", (rate(f"{metric}_count", of, "rpc_method"), "{{rpc_method}}")),
        graph(
            f"{title}: errors",
            "reqps",
            (
                rate(f"{metric}_count", f"{of}, {RPC_ERRORS}", "rpc_method, rpc_response_status_code"),
                "{{rpc_method}} {{rpc_response_status_code}}",
            ),
            description="gRPC status 2, 4, 13, 14, 15. What users are refused is no error.",
        ),
        graph(
            f"{title}: 99 % are faster than",
            "s",
            (quantile(0.99, metric, of, "rpc_method"), "{{rpc_method}}"),
            description="Of streams, until they are open.",
        ),
    ]


def pool(job):
    of = f'job="{job}"'
    return graph(
        "Connections to Postgres",
        "none",
        (f'db_client_connection_count{{{of}, db_client_connection_state="used"}}', "used {{instance}}"),
        (f"db_client_connection_max{{{of}}}", "limit {{instance}}"),
        description="At the limit for long: Postgres is slow, or there are too few.",
    )


SENDS = graph(
    "Sends",
    "ops",
    (rate("parlance_messaging_messages_total", "", "outcome"), "{{outcome}}"),
    description="Canaries included.",
)
NOT_STORED = graph(
    "Sends not stored",
    "ops",
    (rate("parlance_messaging_messages_total", 'outcome=~"refused|failed"', "outcome, error_type"), "{{outcome}} {{error_type}}"),
    description="Refused by a rule, such as not being a member; failed for no fault of the sender's.",
)
DELIVERY = graph(
    "Delivery delay",
    "s",
    *quantiles("parlance_gateway_delivery_delay_seconds"),
    description="From a message's creation in the store to the queues of its subscribers. Clocks that differ show in it.",
)
COMMITS = graph(
    "Commit time",
    "s",
    *quantiles("parlance_messaging_commit_duration_seconds"),
    description="To store a batch, flush included.",
)
REDIS_LAG = graph(
    "Redis lag",
    "s",
    *quantiles("parlance_messaging_redis_lag_seconds"),
    description="From publishing to hearing it back.",
)
TAIL = graph(
    "Heads told by the tail",
    "ops",
    (rate("parlance_messaging_tail_heads_total", "", "instance"), "{{instance}}"),
    description="Many, all the time: Redis does not deliver.",
)
FILLS = graph(
    "Holes filled",
    "ops",
    (rate("parlance_gateway_fills_total", "", "instance"), "{{instance}}"),
    description="Pages read by gateways. Some are usual when replicas come and go.",
)
SOCKETS = graph("Sockets", "none", ("parlance_gateway_sockets", "{{instance}}"))
REQUESTS = graph(
    "Requests", "reqps", (rate(f"{HTTP}_count", "", "http_response_status_code"), "{{http_response_status_code}}")
)

OVERVIEW = dashboard(
    "parlance-overview",
    "Parlance: overview",
    [
        stat("Alerts", "none", 'count(ALERTS{alertstate="firing"}) or vector(0)', steps=[(1, "red")]),
        stat(
            "Oldest canary",
            "s",
            "max(parlance_gateway_canary_age_seconds)",
            "Since one came back, at the gateway where that is longest.",
            [(30, "red")],
        ),
        stat(
            "Requests that fail",
            "percentunit",
            f"({rate(f'{HTTP}_count', HTTP_ERRORS)} or vector(0)) / {rate(f'{HTTP}_count')}",
            "Answered with 5xx.",
            [(0.01, "orange"), (0.05, "red")],
        ),
        stat(
            "Delivery, 99 %",
            "s",
            quantile(0.99, "parlance_gateway_delivery_delay_seconds"),
            "From the store to the queues of subscribers.",
            [(0.5, "orange"), (1, "red")],
        ),
        stat("Sends", "ops", rate("parlance_messaging_messages_total")),
        stat("Sockets", "none", "sum(parlance_gateway_sockets)"),
    ],
    [
        table("Alerts that fire", 'ALERTS{alertstate="firing"}', "What each means: docs/runbooks.md."),
        graph("Replicas that answer", "none", (f'sum by (job) (up{{job=~"{PARTS}"}})', "{{job}}")),
    ],
    [REQUESTS, graph("Duration of requests", "s", *quantiles(HTTP)), SOCKETS],
    [SENDS, DELIVERY, COMMITS],
    processes(PARTS),
)

MESSAGING = dashboard(
    "parlance-messaging",
    "Parlance: messaging",
    [SENDS, DELIVERY, COMMITS],
    [
        NOT_STORED,
        graph("Batches", "ops", (rate("parlance_messaging_batch_size_count", "", "instance"), "{{instance}}")),
        graph(
            "Messages in a batch",
            "none",
            (mean("parlance_messaging_batch_size"), "mean"),
            *quantiles("parlance_messaging_batch_size"),
        ),
        pool("messaging"),
    ],
    [
        REDIS_LAG,
        graph(
            "Connections made to Redis",
            "none",
            ("parlance_messaging_redis_connections_total", "{{instance}}"),
            description="Since the start. One, if it was never lost.",
        ),
        TAIL,
        FILLS,
    ],
    calls("server", "messaging", "Calls"),
    calls("client", "messaging", "Calls to rooms"),
    processes("messaging"),
)

GATEWAY = dashboard(
    "parlance-gateway",
    "Parlance: gateway",
    [
        graph(
            "Requests by route",
            "reqps",
            (rate(f"{HTTP}_count", "", "http_request_method, http_route"), "{{http_request_method}} {{http_route}}"),
        ),
        graph(
            "Errors by route",
            "reqps",
            (
                rate(f"{HTTP}_count", HTTP_ERRORS, "http_request_method, http_route, http_response_status_code"),
                "{{http_request_method}} {{http_route}} {{http_response_status_code}}",
            ),
            description="Answered with 5xx.",
        ),
        graph(
            "99 % of requests are faster than",
            "s",
            (quantile(0.99, HTTP, "", "http_request_method, http_route"), "{{http_request_method}} {{http_route}}"),
        ),
    ],
    [
        SOCKETS,
        graph("Subscriptions", "none", ("parlance_gateway_subscriptions", "{{instance}}")),
        graph("Rooms with subscribers", "none", ("parlance_gateway_rooms", "{{instance}}")),
    ],
    [
        graph(
            "Queued for clients",
            "bytes",
            ("parlance_gateway_queued_bytes", "{{instance}}"),
            ("parlance_gateway_queued_bytes_limit", "limit {{instance}}"),
            description="The limit is MAX_QUEUED_BYTES_TOTAL.",
        ),
        graph(
            "Slow clients cut",
            "ops",
            (rate("parlance_gateway_slow_clients_closed_total", "", "instance"), "{{instance}}"),
        ),
        graph("Refused by limits", "ops", (rate("parlance_gateway_rate_limited_total", "", "limit"), "{{limit}}")),
    ],
    [
        graph(
            "Canaries",
            "s",
            (quantile(0.99, "parlance_gateway_canary_duration_seconds"), "99 %"),
            ("max by (instance) (parlance_gateway_canary_age_seconds)", "age {{instance}}"),
        ),
        graph("Canaries lost", "ops", (rate("parlance_gateway_canary_failures_total", "", "instance"), "{{instance}}")),
        graph(
            "Attached to replicas of messaging",
            "none",
            ("parlance_gateway_streams", "{{instance}}"),
            ('count(up{job="messaging"} == 1)', "there are"),
        ),
    ],
    [DELIVERY, FILLS],
    calls("client", "gateway", "Calls to services"),
    processes("gateway"),
)

AUTH = dashboard(
    "parlance-auth",
    "Parlance: auth",
    calls("server", "auth", "Calls"),
    [
        graph(
            "Hashes of passwords",
            "none",
            ("parlance_auth_hashes", "{{state}} {{instance}}"),
            ("parlance_auth_hashes_limit", "limit {{state}} {{instance}}"),
            description="As many run as there are HASH_THREADS; HASH_QUEUE may wait.",
        ),
        pool("auth"),
    ],
    processes("auth"),
)

ROOMS = dashboard(
    "parlance-rooms",
    "Parlance: rooms",
    calls("server", "rooms", "Calls"),
    [
        graph(
            "Calls of others, as they see them",
            "reqps",
            (
                rate(
                    "rpc_client_call_duration_seconds_count",
                    'rpc_method=~"parlance.rooms.*"',
                    "job, rpc_response_status_code",
                ),
                "{{job}} {{rpc_response_status_code}}",
            ),
            description="By gRPC status; repetitions included.",
        ),
        pool("rooms"),
    ],
    processes("rooms"),
)

CONTACTS = dashboard(
    "parlance-contacts",
    "Parlance: contacts",
    calls("server", "contacts", "Calls"),
    calls("client", "contacts", "Calls to rooms"),
    [pool("contacts")],
    processes("contacts"),
)

DASHBOARDS = [OVERVIEW, MESSAGING, GATEWAY, AUTH, ROOMS, CONTACTS]


def by_name():
    """The dashboards by the names of their files."""
    return {one["uid"].removeprefix("parlance-"): one for one in DASHBOARDS}


if __name__ == "__main__":
    for name, made in by_name().items():
        (FOLDER / f"{name}.json").write_text(json.dumps(made, indent=2) + "\n")
