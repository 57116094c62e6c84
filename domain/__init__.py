"""Nouns and rules of robotd. Pure: no I/O, no clock, no environment, no logging; every room may import it."""
