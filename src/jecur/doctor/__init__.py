"""Everything that a run would refuse, and every slide, before hours are spent: what `jecur doctor` says."""
