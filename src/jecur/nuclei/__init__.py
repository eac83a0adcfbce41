"""The fourth channel: where nuclei are, and how well that agrees with a pathologist."""
