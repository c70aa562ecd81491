"""Tests of other people's layers: probe and check a callable, audit and compare torch models."""
