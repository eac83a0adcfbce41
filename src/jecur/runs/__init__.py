"""The run folder, its files, and the processes that fill it."""
