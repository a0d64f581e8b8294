"""What `hoistream run` would refuse, found without touching a camera, a server or an engine."""

from __future__ import annotations

from collections.abc import Iterable

from hoiclip.errors import InputError
from hoiclip.lessons import open_vocabulary
from stream.events.redis_connection import parse_redis_url
from stream.publish.mqtt_sink import SCHEMES as MQTT
from stream.publish.mqtt_sink import parse_mqtt_url
from stream.publish.sinks import is_direct, is_redis
from stream.publish.store_sink import parse_store_url
from stream.publish.webhooks import SCHEME as WEBHOOK
from stream.publish.webhooks import parse_webhook_url
from stream.run.calibration_file import calibrated
from stream.run.canvases import canvases_of, parse_canvases
from stream.run.config import RunConfig
from stream.run.models import open_model
from stream.run.rules import known_names, open_rules
from stream.run.settings import source_settings, tracker_settings


def check(settings: RunConfig) -> None:
    """Raise InputError for the first thing that cannot be right: model, words, thresholds, rules, sources, sinks."""
    loaded = open_model(settings.model)
    canvases = canvases_of(parse_canvases(settings.canvases), loaded)
    for url in settings.sinks:
        check_sink(url)
    known: set[str] = set()
    classifiers = {}
    for source in settings.sources:
        source_settings(source, canvases)
        classifiers[source.id] = open_vocabulary(loaded, source.vocabulary or settings.vocabulary)
        known |= set(classifiers[source.id].names)
        trackers = [
            calibrated(each, loaded.fingerprint, enhancement=settings.enhancement)
            for each in (settings.tracker, source.tracker)
        ]
        tracker_settings(*trackers)
        _check_thresholds(source.tracker.thresholds, known, f"sources.{source.id}.tracker.thresholds")
    _check_thresholds(settings.tracker.thresholds, known, "tracker.thresholds")
    if settings.rules is not None:
        open_rules(
            settings.rules, known_names({source.id: source for source in settings.sources}, classifiers.values())
        )


def check_sink(url: str) -> None:
    """Raise InputError unless `url` is a sink's; nothing is opened."""
    if is_redis(url):
        try:
            parse_redis_url(url)
        except ValueError as error:
            raise InputError(f"sink redis: {error}") from None  # the cause may show the password
    elif url.startswith(MQTT):
        parse_mqtt_url(url)
    elif url.startswith(WEBHOOK):
        parse_webhook_url(url)
    elif not is_direct(url):
        parse_store_url(url)


def _check_thresholds(named: Iterable[str], known: set[str], key: str) -> None:
    for name in named:
        if name not in known:
            raise InputError(f"`{key}`: no source looks for {name!r}; names are those of the vocabulary")
