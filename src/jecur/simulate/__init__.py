"""Virtual slides and cohorts with planted, known truth."""
