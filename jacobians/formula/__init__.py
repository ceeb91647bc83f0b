"""Convolutions as relations between indices: mathematics that knows neither code under test nor reports."""
