"""The metadata is in setup.cfg, but for the README, which ``builder/readme.py`` makes fit for a package index. ``builder/backend.py`` makes
what is not in git before setuptools builds.
"""

from setuptools import setup

from builder.readme import long_description

setup(long_description=long_description())
