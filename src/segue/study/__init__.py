"""Studies: variants times seeds on one pair; missing runs are trained, and tables are drawn from a record."""
