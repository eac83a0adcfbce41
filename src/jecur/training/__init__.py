"""Everything that needs torch; imported lazily, and only by the pipeline and the command line."""
