"""The model test: services, queue and store as they are, in virtual time, under random programs of jobs and faults.

``world`` is what exists, ``wire`` what lies between a process and its ports, ``operations`` what a program is made of, ``checks`` and
``accounts`` what must hold whatever happens, ``simulation`` runs a seed, ``shrink`` makes a failing program short, ``planted`` has the
faults of the test's own test.
"""
