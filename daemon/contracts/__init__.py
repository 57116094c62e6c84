"""The contracts with those who send to robotd and read from it: schemas, examples, pages, and what may change."""
