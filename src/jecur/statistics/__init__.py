"""Study-level results: what the report prints, from the estimators in `jecur.survival`."""
