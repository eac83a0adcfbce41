"""Networks of others that describe tiles: which are known, how they are loaded, how tiles go through them."""
