"""Models side by side on the same patients: the networks, and what they should beat."""
