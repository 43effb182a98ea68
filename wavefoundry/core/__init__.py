"""What everything else speaks in."""
