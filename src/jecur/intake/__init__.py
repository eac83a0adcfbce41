"""From a folder of slides and a spreadsheet to a study file: what is proposed, why, and what is asked."""
