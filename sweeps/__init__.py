"""Hyper-parameter studies with Optuna."""
