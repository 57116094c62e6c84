"""The server's own endpoints under /_robotd/sqs, for other processes: looking without side effects, setting faults."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from urllib.parse import parse_qs, urlsplit

from localstack.sqs.broker import ARN_PREFIX, Broker
from localstack.sqs.service import Service
from localstack.sqs.views import stored

PREFIX = "/_robotd/sqs/"


class Control:
    """What is asked outside of AWS's API."""

    def __init__(self, broker: Broker, service: Service) -> None:
        self._broker = broker
        self._service = service
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, str], bytes], object]] = {
            ("GET", "queues"): self._queues,
            ("GET", "messages"): self._messages,
            ("GET", "ledger"): self._ledger,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._set_faults,
        }

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The status and the JSON of an answer."""
        parts = urlsplit(path)
        route = self._routes.get((method, parts.path.removeprefix(PREFIX)))
        if route is None:
            return 404, b'{"error":"no such endpoint"}'
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            return 200, json.dumps(route(query, body)).encode()
        except LookupError as error:
            return 404, json.dumps({"error": str(error)}).encode()
        except (ValueError, TypeError) as error:
            return 400, json.dumps({"error": str(error)}).encode()

    def _queues(self, _query: Mapping[str, str], _body: bytes) -> object:
        self._broker.tick()
        found = {name: self._broker.by_arn(ARN_PREFIX + name) for name in self._broker.names()}
        return {name: asdict(queue.counts) for name, queue in found.items() if queue is not None}

    def _messages(self, query: Mapping[str, str], _body: bytes) -> object:
        queue = self._broker.by_arn(ARN_PREFIX + query.get("queue", ""))
        if queue is None:
            raise LookupError("no such queue")
        return [asdict(stored(message)) for message in queue]

    def _ledger(self, query: Mapping[str, str], _body: bytes) -> object:
        wanted = {name: query[name] for name in ("action", "queue", "message_id") if name in query}
        return [
            values
            for values in (entry._asdict() for entry in self._broker.ledger)
            if all(values[name] == value for name, value in wanted.items())
        ]

    def _faults(self, _query: Mapping[str, str], _body: bytes) -> object:
        return {
            **self._broker.faults.as_dict(),
            "missing_queues": sorted(self._broker.missing),
            "hang": sorted(self._service.hang),
        }

    def _set_faults(self, query: Mapping[str, str], body: bytes) -> object:
        values = json.loads(body)
        if not isinstance(values, dict):
            raise TypeError("faults are a JSON object")
        names = {"missing_queues": self._broker.missing, "hang": self._service.hang}
        given = {name: _names(values.pop(name)) for name in names if name in values}
        self._broker.faults.update(values)
        for name, chosen in given.items():
            names[name].clear()
            names[name].update(chosen)
        return self._faults(query, body)


def _names(value: object) -> set[str]:
    if not isinstance(value, list):
        raise TypeError("a list of names is needed")
    return {str(each) for each in value}
