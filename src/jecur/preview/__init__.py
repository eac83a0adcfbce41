"""What a run would see and do, shown before it: a slide, a cohort, its stains, its nuclei."""
