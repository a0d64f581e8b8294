"""The event stream for other programs: JSON Schema and AsyncAPI 3.0, generated from `stream.events.schema`."""

from __future__ import annotations

import json
from typing import Any

import yaml

from stream.events.redis_connection import DEFAULT_STREAM
from stream.events.schema import SCHEMA_MINOR, SCHEMA_VERSION, event_json_schema

JSON_SCHEMA_NAME = "event.schema.json"
ASYNCAPI_NAME = "asyncapi.yaml"


def json_schema_document() -> str:
    """Return the JSON Schema (2020-12) of one event."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"hoistream event, version {SCHEMA_VERSION}.{SCHEMA_MINOR}",
    }
    return json.dumps(head | event_json_schema(), indent=2, ensure_ascii=False) + "\n"


def asyncapi_document() -> str:
    """Return the AsyncAPI document, as YAML."""
    schema = event_json_schema()
    definitions = schema.pop("$defs")
    names = sorted(definitions)
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "hoistream events",
            "version": f"{SCHEMA_VERSION}.{SCHEMA_MINOR}.0",
            "description": (
                "Human-object interactions on a Redis stream: one entry an event, with one field `event` that holds "
                "JSON. Delivered at least once: deduplicate by `event_id`. Entries that a consumer could not handle "
                f"go to `{DEFAULT_STREAM}:dead`. A minor version adds fields, kinds of events and codes: ignore what "
                "you do not know. A major version is published to another stream."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"redis": {"host": "localhost:6379", "protocol": "redis"}},
        "channels": {
            "events": {
                "address": DEFAULT_STREAM,
                "description": "The name is the default of a sink's `?stream=`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "publishEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "What hoistream publishes, in order per source.",
            }
        },
        "components": {
            "messages": {
                name: {
                    "name": name,
                    "summary": definitions[name]["description"].splitlines()[0],
                    "payload": {"$ref": f"#/components/schemas/{name}"},
                }
                for name in names
            },
            "schemas": {name: definitions[name] for name in names},
        },
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def documents() -> dict[str, str]:
    """Return every document by its file name."""
    return {JSON_SCHEMA_NAME: json_schema_document(), ASYNCAPI_NAME: asyncapi_document()}
