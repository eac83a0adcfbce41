"""Training of the nuclei network."""
