"""A folder of scores: who is scored, what it holds, what is added, and a page for each patient."""
