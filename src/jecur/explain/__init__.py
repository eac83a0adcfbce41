"""What the model saw: heat maps and the tiles that drove the risk."""
