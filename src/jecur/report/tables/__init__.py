"""Tables for the page and for CSV."""
