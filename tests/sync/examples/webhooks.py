"""Webhooks."""

from tests.sync.examples.example import Example, of

_ENDPOINT = {"webhookEndpointId": of("webhook/1")}
_SECRET = "whsec_ZGVtbyBkZW1vIGRlbW8gZGVtbyBkZW1v"

EXAMPLES = {
    "createWebhookEndpoint": Example(
        "MANAGER",
        {
            "id": of("webhook/new"),
            "name": "Demo portal",
            "url": "https://hooks.demo.example/portal",
            "active": False,
            "secret": _SECRET,
        },
    ),
    "updateWebhookEndpoint": Example("MANAGER", {**_ENDPOINT, "entities": ["Asset"]}),
    "replaceWebhookSecret": Example("MANAGER", {**_ENDPOINT, "secret": _SECRET}, unseen=True),
    "replayWebhookDeliveries": Example("MANAGER", {**_ENDPOINT, "seqs": [1]}, unseen=True),
    "deleteWebhookEndpoint": Example("MANAGER", _ENDPOINT),
}
