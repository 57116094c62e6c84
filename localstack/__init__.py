"""Everything to run robotd on one machine: the SQS server, the neighbours' simulators, and the demo."""
