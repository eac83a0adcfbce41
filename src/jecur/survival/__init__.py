"""Survival statistics that agree with R, on plain arrays of months and events."""
