"""Public cohorts fetched from their servers: every file whole, checked, and under its right name."""
