"""Paths of the routes that gateways call; apart, as they are needed before the API is loaded."""

INGEST_PATH = "/v1/ingest"
OPEN_PATH = "/v1/ingest/open"
LIVE_PATH = "/v1/ingest/live"
HEARTBEAT_PATH = "/v1/ingest/heartbeat"
