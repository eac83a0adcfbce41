"""The stages of a study: survey, prepare, train, score, explain, report."""
