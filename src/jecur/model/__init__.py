"""The model file, each part checked before it is used: archive, card, graphs."""
