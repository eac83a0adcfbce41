"""Jecur: histology of a resected liver cancer in, risk of recurrence and its proof out.

For research use only. Read `jecur.pipeline` first: it is the study from top to bottom.
"""

__version__ = "0.1.0"
