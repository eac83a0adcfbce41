"""Tissue arrays: find the cores of a slide and lay them on rows and columns."""
