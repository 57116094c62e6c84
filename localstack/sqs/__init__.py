"""A small, fast SQS for one machine: standard queues over AWS JSON 1.0, with faults to play and a ledger to ask."""

from localstack.sqs.faults import Faults
from localstack.sqs.ledger import Entry, Ledger
from localstack.sqs.queues import Counts
from localstack.sqs.server import SqsServer
from localstack.sqs.views import StoredMessage

__all__ = ["Counts", "Entry", "Faults", "Ledger", "SqsServer", "StoredMessage"]
