"""Predictors, metrics, and a predictor run over a data set."""
