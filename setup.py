"""The metadata is in setup.cfg. ``builder/backend.py`` makes what is not in git before setuptools builds."""

from setuptools import setup

setup()
