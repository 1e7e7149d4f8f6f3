"""The model test: services, queue and store as they are, in virtual time, under random programs of jobs and faults.

``world`` is what exists, ``wire`` what lies between a process and its ports, ``clients`` what is asked for (each ask a ``Request``), and
``operations`` what a program is made of (``troubles``: what goes wrong in it). What must hold whatever happens: ``checks`` of executions,
``jobbook`` and ``changes`` of jobs and their ledgers, ``promises`` of what was answered; ``accounts`` and ``counts`` look when all is
over. ``simulation`` runs a seed, ``shrink`` makes a failing program short, ``planted`` has the faults of the test's own test.
"""
