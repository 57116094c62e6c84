"""What robotd remembers: one database seam, one module per aggregate, numbered migrations."""
