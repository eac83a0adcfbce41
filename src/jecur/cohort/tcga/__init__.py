"""TCGA-LIHC from the public files as downloaded."""
