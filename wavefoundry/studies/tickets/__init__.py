"""Tickets: train densely, prune round by round, and ask what a sparse subnetwork is worth."""
