"""Slides: reading, tissue, tiles, quality. The only room that opens image files."""
