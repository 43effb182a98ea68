"""Phase diagrams: pre-train once, adapt to every coupling."""
