"""The process and everything that touches the world; the only room that wires."""
