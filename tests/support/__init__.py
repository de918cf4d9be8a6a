"""Code that several test modules share, in addition to the fixtures of conftest.py."""
