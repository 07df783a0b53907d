"""Variants times seeds on one pair: run what is missing, record what came out, draw tables from the record alone."""
