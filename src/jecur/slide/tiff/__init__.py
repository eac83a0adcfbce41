"""TIFF files as they are stored: pages, colors, scale, tiles."""
