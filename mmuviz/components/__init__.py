"""Dash trees: labels in, html out."""
