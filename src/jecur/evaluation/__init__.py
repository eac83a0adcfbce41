"""Statistics of anybody's scores: a table of scores, a clinical table, and a report. No slides."""
