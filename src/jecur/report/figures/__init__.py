"""SVG figures."""
