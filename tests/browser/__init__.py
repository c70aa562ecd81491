"""Tests in a real browser. A package, so that its browser closes when its last test has run."""
