"""What a model file is made of, each part checked before it is used: archive, card, graphs."""
