"""What robotd answers over HTTP, where it is switched on. Wired by the composition root."""
