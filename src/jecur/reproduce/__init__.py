"""The paper's external validation on TCGA-LIHC, step by step, beside what it prints."""
