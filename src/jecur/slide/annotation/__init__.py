"""Drawn regions: QuPath GeoJSON, ASAP XML, Aperio XML."""
