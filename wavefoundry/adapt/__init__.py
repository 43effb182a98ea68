"""Heads tuned on pools, masks, transfer: what starts from a trained state."""
