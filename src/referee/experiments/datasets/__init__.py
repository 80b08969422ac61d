"""Datasets and their datapoints, in versions."""
