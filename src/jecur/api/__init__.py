"""What a notebook or a script calls: objects that show themselves."""
