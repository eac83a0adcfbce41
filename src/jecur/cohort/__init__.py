"""Who the patients are, what happened to them, and which slides they have."""
