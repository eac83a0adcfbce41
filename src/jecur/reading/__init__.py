"""The blinded review: who judges which tiles in which order, what they answer, and how it is closed."""
