"""What a clinical table says that cannot be, or hardly can be, true."""
